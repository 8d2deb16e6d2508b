"""What attacks find: files, sockets, processes and secrets of a host, and whether they got at any."""

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from rlm.sandbox.confined import Confined
from rlm.sandbox.jail import Jail
from rlm.sandbox.session import Limits

ROOT = Path(__file__).resolve().parents[3]
_SECRETS = {kind: f"secret-{kind}-{secrets.token_hex(8)}" for kind in ("file", "private", "memory", "shared")}
_NOBODY = 65534
# What a signal takes to show.
_SECONDS_TO_SETTLE = 0.02
_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmat.restype = ctypes.c_void_p


class Scene:
    """All that is in reach of a process of the same user, and open to all where it can be.

    jail: the sibling session is of it, none without.
    """

    def __init__(self, jail: Jail | None) -> None:
        self.resources = contextlib.ExitStack()
        self.folder = Path(tempfile.mkdtemp())
        self.resources.callback(shutil.rmtree, self.folder)
        self.folder.chmod(0o777)
        self.canary, self.private = self.folder / "canary", self.folder / "private"
        self.canary.write_text(_SECRETS["file"])
        self.canary.chmod(0o666)
        self.private.write_text(_SECRETS["private"])
        self.private.chmod(0o600)
        self.listening = self._listen()
        self.victim = self._victim()
        self.signals: list[int] = []
        self.resources.callback(signal.signal, signal.SIGUSR1, signal.signal(signal.SIGUSR1, self._noted))
        self.segment, self.shared = self._share()
        self.inherited = os.open(self.private, os.O_RDONLY)
        os.set_inheritable(self.inherited, True)
        self.resources.callback(os.close, self.inherited)
        self.objects = {"memory": _SECRETS["memory"], "kept": []}
        self.jail, self.sibling, self.sibling_process = jail, None, 0
        self.secrets = {*_SECRETS.values(), os.environ["CANARY_KEY"]}
        if jail is not None:
            self._have_sibling(jail)
        self.before = self._state()

    def _noted(self, number: int, _: Any) -> None:
        self.signals.append(number)

    def _listen(self) -> dict[str, socket.socket]:
        """One of each kind that another process can reach by an address."""
        self.abstract = f"\0scalelab-{secrets.token_hex(8)}"
        kinds = {
            "tcp": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "udp": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "unix": (socket.AF_UNIX, socket.SOCK_STREAM, str(self.folder / "socket")),
            "abstract": (socket.AF_UNIX, socket.SOCK_STREAM, self.abstract),
            "abstract datagram": (socket.AF_UNIX, socket.SOCK_DGRAM, f"{self.abstract}-datagram"),
        }
        listening = {}
        for name, (family, kind, address) in kinds.items():
            listener = self.resources.enter_context(socket.socket(family, kind))
            listener.bind(address)
            listener.setblocking(False)
            if kind == socket.SOCK_STREAM:
                listener.listen()
            listening[name] = listener
        (self.folder / "socket").chmod(0o777)
        return listening

    def _victim(self) -> subprocess.Popen[bytes]:
        """A process that belongs to whom sessions belong to."""
        user = _NOBODY if os.geteuid() == 0 else None
        victim = subprocess.Popen(["/bin/sleep", "60"], user=user, env={})
        self.resources.callback(victim.wait)
        self.resources.callback(victim.kill)
        return victim

    def _share(self) -> tuple[int, Path]:
        key = secrets.randbelow(1 << 30) + 1
        segment = _libc.shmget(key, 64, 0o1666)
        if segment >= 0:
            ctypes.memmove(_libc.shmat(segment, None, 0), _SECRETS["shared"].encode(), len(_SECRETS["shared"]))
            self.resources.callback(_libc.shmctl, segment, 0, None)
        folder = Path("/dev/shm")
        file = (folder if folder.is_dir() else self.folder) / f"scalelab-{secrets.token_hex(8)}"
        file.write_text(_SECRETS["shared"])
        file.chmod(0o666)
        self.resources.callback(file.unlink)
        return key, file

    def _have_sibling(self, jail: Jail) -> None:
        descriptors = set(Path("/proc/self/fd").iterdir())
        self.sibling = self.resources.enter_context(jail.session({}, Limits(memory_bytes=1 << 27)))
        secret = f"secret-sibling-{secrets.token_hex(8)}"
        assert self.sibling.run(f"hidden = {secret!r}").error is None
        self.secrets.add(secret)
        for descriptor in set(Path("/proc/self/fd").iterdir()) - descriptors:
            with contextlib.suppress(FileNotFoundError):
                for line in Path("/proc/self/fdinfo", descriptor.name).read_text().splitlines():
                    if line.startswith("Pid:"):
                        self.sibling_process = int(line.split()[1])

    def names(self) -> dict[str, Any]:
        """What a program knows of the scene."""
        return {
            "CANARY": str(self.canary),
            "PRIVATE": str(self.private),
            "FOLDER": str(self.folder),
            "PORT": self.listening["tcp"].getsockname()[1],
            "UDP_PORT": self.listening["udp"].getsockname()[1],
            "SOCKET_PATH": str(self.folder / "socket"),
            "ABSTRACT": self.abstract,
            "HOST": os.getpid(),
            "VICTIM": self.victim.pid,
            "SIBLING": self.sibling_process,
            "SEGMENT": self.segment,
            "SHARED_FILE": str(self.shared),
            "HERE": str(ROOT),
        }

    def _state(self) -> dict[str, Any]:
        files = {}
        for path in self.folder.iterdir():
            status = path.lstat()
            files[path.name] = (status.st_mode, status.st_mtime_ns, status.st_nlink, status.st_size)
        return {"files": files, "processes": self._num_processes()}

    def _num_processes(self) -> int:
        """Of the jail, by the session that its zygote leads."""
        if self.jail is None:
            return 0
        count = 0
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                state, _, _, leader = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                count += int(leader) == self.jail._process.pid and state != "Z"
        return count

    def marks(self) -> list[str]:
        """What is not as it was."""
        found = []
        for name, listener in self.listening.items():
            with contextlib.suppress(BlockingIOError):
                if listener.type == socket.SOCK_STREAM:
                    listener.accept()[0].close()
                else:
                    listener.recv(9)
                found.append(f"reached {name}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.victim.wait(_SECONDS_TO_SETTLE)
        if self.victim.poll() is not None:
            found.append("ended a process")
        elif Path(f"/proc/{self.victim.pid}/stat").read_text().rpartition(")")[2].split()[0] in "tT":
            found.append("stopped a process")
        if self.signals:
            found.append("signalled the host")
        now = self._state()
        # The attacking session's own process comes on top of those that were.
        if now["files"] != self.before["files"]:
            found.append("changed files")
        if now["processes"] > self.before["processes"] + 1:
            found.append("made processes")
        if self.sibling is not None and not self._sibling_lives():
            found.append("ended a sibling")
        return found

    def _sibling_lives(self) -> bool:
        assert self.sibling is not None
        return self.sibling.run("print(hidden)").printed.strip() in self.secrets

    def close(self) -> None:
        """As if it had not been."""
        self.resources.close()


def answers(session: Confined) -> bool:
    """Whether a program runs as the first there was would; the one before may have ended the session's process."""
    return any(session.run("print(1 + 1)").printed == "2\n" for _ in range(2))
