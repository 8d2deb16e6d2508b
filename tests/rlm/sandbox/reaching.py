"""Attacks that reach for something outside of the process. Numbers of system calls are those of x86_64."""

from tests.rlm.sandbox.attack import Attack, table

FILES = table(
    "files",
    {
        "read what all may read": ("anyone", "print(open(CANARY).read())"),
        "read what is private": ("anyone", "print(open(PRIVATE).read())"),
        "read from the root by descriptor": (
            "anyone",
            "root = os.open('/', os.O_PATH)\nprint(os.read(os.open(CANARY[1:], os.O_RDONLY, dir_fd=root), 99))",
        ),
        "read from a parent of the root": ("anyone", "print(open('/..' * 9 + CANARY).read())"),
        "read by a module's loader": (
            "anyone",
            "import importlib.machinery as m\nprint(m.SourceFileLoader('x', CANARY).get_data(CANARY))",
        ),
        "read by libc": (
            "anyone",
            "libc.fopen.restype = ctypes.c_void_p\nfile = libc.fopen(CANARY.encode(), b'r')\n"
            "text = ctypes.create_string_buffer(99)\n"
            "if file:\n    libc.fgets(text, 98, ctypes.c_void_p(file))\n    print(text.value)",
        ),
        "read by openat2": (
            "anyone",
            "how = (ctypes.c_uint64 * 3)(0, 0, 0)\n"
            "print(os.read(syscall(437, -100, CANARY.encode(), ctypes.byref(how), 24), 99))",
        ),
        "write": ("anyone", "open(CANARY, 'w').write('spoilt')"),
        "append": ("anyone", "os.write(os.open(CANARY, os.O_WRONLY | os.O_APPEND), b'spoilt')"),
        "truncate": ("anyone", "os.truncate(CANARY, 0)"),
        "delete": ("anyone", "os.unlink(CANARY)"),
        "rename": ("anyone", "os.rename(CANARY, CANARY + '.old')"),
        "change the mode": ("anyone", "os.chmod(CANARY, 0)"),
        "set the time": ("anyone", "os.utime(CANARY, (1, 1))"),
        "link": ("anyone", "os.link(CANARY, FOLDER + '/link')"),
        "symbolic link": ("anyone", "os.symlink('/', FOLDER + '/link')"),
        "list a folder": ("anyone", "print('WON' if 'canary' in os.listdir(FOLDER) else '')"),
        "ask for the size": ("anyone", "print('WON', os.stat(CANARY).st_size)"),
        "ask whether it is there": ("anyone", "print('WON' if os.access(CANARY, os.R_OK) else '')"),
        "ask for the working folder": ("anyone", "if len(os.getcwd()) > 1: print('WON')"),
        "watch": ("anyone", "watch = syscall(253)\nprint('WON', syscall(254, watch, CANARY.encode(), 2))"),
    },
)
LEFT_BEHIND = table(
    "leaving files behind",
    {
        "a file": ("anyone", "open(FOLDER + '/left', 'w').write('here')"),
        "a folder": ("anyone", "os.mkdir(FOLDER + '/left')"),
        "a pipe": ("anyone", "os.mkfifo(FOLDER + '/left')"),
        "a temporary file": (
            "anyone",
            "import tempfile\nwith tempfile.NamedTemporaryFile(dir=FOLDER, delete=False) as file: file.write(b'here')",
        ),
        "a unix socket": ("anyone", "import socket\nsocket.socket(socket.AF_UNIX).bind(FOLDER + '/left')"),
        "a segment of shared memory": ("some", "print('WON', syscall(29, 0, 4096, 0o1600))"),
        "a queue of messages": ("some", "print('WON', syscall(68, 0, 0o1600))"),
    },
)
NETWORK = table(
    "network",
    {
        "connect": ("anyone", "import socket\nsocket.create_connection(('127.0.0.1', PORT), 1)"),
        "fast open": (
            "some",
            "import socket\nsocket.socket().sendto(b'x', socket.MSG_FASTOPEN, ('127.0.0.1', PORT))",
        ),
        "connect by system calls": (
            "anyone",
            "address = struct.pack('<H', 2) + struct.pack('>H', PORT) + bytes([127, 0, 0, 1]) + bytes(8)\n"
            "syscall(42, syscall(41, 2, 1, 0), address, 16)",
        ),
        "send a datagram": ("anyone", "import socket\nsocket.socket(2, 2).sendto(b'x', ('127.0.0.1', UDP_PORT))"),
        "fetch a page": (
            "never",
            "import urllib.request\nprint('WON', urllib.request.urlopen(f'http://127.0.0.1:{PORT}/', timeout=1))",
        ),
        "listen": (
            "anyone",
            "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\nprint('WON')",
        ),
        "netlink": ("anyone", "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\nprint('WON')"),
        "raw packets": ("root", "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, 1)\nprint('WON')"),
        "the kernel's ciphers": ("some", "import socket\nsocket.socket(socket.AF_ALG, 5, 0)\nprint('WON')"),
        "a unix socket": ("anyone", "import socket\nsocket.socket(socket.AF_UNIX).connect(SOCKET_PATH)"),
        "an abstract socket": ("anyone", "import socket\nsocket.socket(socket.AF_UNIX).connect(ABSTRACT)"),
        "an abstract socket by datagram": (
            "anyone",
            "import socket\nsocket.socket(socket.AF_UNIX, 2).sendto(b'x', ABSTRACT + '-datagram')",
        ),
        "an abstract socket of its own": (
            "anyone",
            "import socket\nsocket.socket(socket.AF_UNIX).bind(ABSTRACT + '-own')\nprint('WON')",
        ),
    },
)
PROCESSES = table(
    "processes",
    {
        "fork": ("anyone", "if not os.fork(): os._exit(0)\nprint('WON')"),
        "fork by clone": ("anyone", "if not syscall(56, 17, 0, 0, 0, 0): os._exit(0)\nprint('WON')"),
        "fork by clone3": (
            "anyone",
            "arguments = (ctypes.c_uint64 * 8)(0, 0, 0, 0, 17)\n"
            "if not syscall(435, ctypes.byref(arguments), 64): os._exit(0)\nprint('WON')",
        ),
        "fork for ever": ("never", "while True:\n    if os.fork(): print('WON')"),
        "a thread": ("anyone", "import threading\nthreading.Thread(target=int).start()\nprint('WON')"),
        "a subprocess": ("anyone", "import subprocess\nsubprocess.run(['/bin/mkdir', FOLDER + '/made'])"),
        "a shell": ("anyone", "os.system('mkdir ' + FOLDER + '/made')"),
        "spawn": (
            "anyone",
            "os.posix_spawn('/bin/mkdir', ['mkdir', FOLDER + '/made'], {})\nimport time\ntime.sleep(.3)",
        ),
        "exec": ("anyone", "os.execv('/bin/mkdir', ['mkdir', FOLDER + '/made'])"),
        "exec from memory": (
            "anyone",
            "file = syscall(319, b'x', 0)\nos.write(file, b'#!/bin/sh\\nmkdir ' + FOLDER.encode() + b'/made\\n')\n"
            "os.execve(file, ['x'], {})",
        ),
        "the interpreter itself": (
            "anyone",
            "code = f'import os; os.mkdir({FOLDER!r} + \"/made\")'\n"
            "os.execv('/proc/self/exe', ['python', '-I', '-S', '-c', code])",
        ),
    },
)
SIGNALS = table(
    "signals",
    {
        "the host": ("anyone", "os.kill(HOST, 10)"),
        "the host's thread": ("anyone", "syscall(234, HOST, HOST, 10)"),
        "the host by pidfd": ("anyone", "import signal\nsignal.pidfd_send_signal(os.pidfd_open(HOST), 10)"),
        "the host by its own parent": ("anyone", "os.kill(os.getppid() or 1, 10)\nprint('WON')"),
        "the host through a pipe's owner": (
            "anyone",
            "import fcntl\nr, w = os.pipe()\nfcntl.fcntl(r, fcntl.F_SETOWN, HOST)\nfcntl.fcntl(r, 10, 10)\n"
            "fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC)\nos.write(w, b'x')",
        ),
        "the host through the socket's owner": (
            "never",
            "import fcntl\nfcntl.fcntl(3, fcntl.F_SETOWN, HOST)\nfcntl.fcntl(3, 10, 10)\n"
            "fcntl.fcntl(3, fcntl.F_SETFL, os.O_ASYNC)\nprint('WON')",
        ),
        "a process of the same user": ("anyone", "os.kill(VICTIM, 9)"),
        "all there are": ("never", "os.kill(-1, 9)"),
        "its own group": ("never", "os.kill(0, 9)"),
        "whoever can be found": (
            "anyone",
            "found = 0\nfor pid in [*range(2, 100), HOST, VICTIM]:\n    try: os.kill(pid, 0)\n"
            "    except OSError: continue\n    found += 1\nif found: print('WON')",
        ),
        "a limit of another": ("some", "import resource\nresource.prlimit(VICTIM, 7, (9, 9))\nprint('WON')"),
        "the rank of another": ("anyone", "os.setpriority(os.PRIO_PROCESS, VICTIM, 19)\nprint('WON')"),
        "the processor of another": ("anyone", "os.sched_setaffinity(VICTIM, {0})\nprint('WON')"),
    },
)
ENVIRONMENT = table(
    "environment and keys",
    {
        "variables": ("anyone", "print(dict(os.environ))"),
        "variables by libc": ("anyone", "libc.getenv.restype = ctypes.c_char_p\nprint(libc.getenv(b'CANARY_KEY'))"),
        "variables in memory": (
            "anyone",
            "names = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ')\n"
            "for i in range(999):\n    if not names or names[i] is None: break\n    print(names[i])",
        ),
        "the process's own": ("anyone", "print(open('/proc/self/environ').read())"),
        "the host's": ("anyone", "print(open(f'/proc/{HOST}/environ').read())"),
        "the host's objects": (
            "anyone",
            "import gc\nfor found in gc.get_objects():\n    if type(found) is dict:\n"
            "        print([v for v in found.values() if type(v) is str and v.startswith('secret-')] or '', end='')",
        ),
        "what the command line was": (
            "anyone",
            "import sys\nif any(HERE in word for word in [*sys.argv, *sys.orig_argv]): print('WON')",
        ),
    },
)
PROC = table(
    "reading /proc and /sys",
    {
        "its own maps": ("anyone", "print('WON' if open('/proc/self/maps').read() else '')"),
        "its own memory": ("anyone", "print('WON' if open('/proc/self/mem', 'rb') else '')"),
        "the commands of others": ("anyone", "print('WON', open(f'/proc/{HOST}/cmdline').read())"),
        "the processes": ("anyone", "print('WON', len(os.listdir('/proc')))"),
        "the mounts": ("anyone", "print('WON', open('/proc/mounts').read()[:9])"),
        "the host's name": ("anyone", "print('WON', os.uname().nodename)"),
        "devices": ("anyone", "print('WON', os.listdir('/sys'))"),
    },
)
DESCRIPTORS = table(
    "descriptors",
    {
        "read those inherited": (
            "anyone",
            "for fd in range(3, 300):\n    try: print(os.pread(fd, 999, 0))\n    except OSError: pass",
        ),
        "take one from the host": (
            "anyone",
            "host = os.pidfd_open(HOST)\n"
            "for fd in range(3, 99):\n    try: print(os.pread(syscall(438, host, fd, 0), 99, 0))\n"
            "    except OSError: pass",
        ),
        "open one anew": ("some", "print('WON', os.open('/proc/self/fd/0', os.O_RDWR))"),
        "duplicate": ("anyone", "print('WON', os.dup(0))"),
        "send one away": (
            "never",
            "import socket\nsocket.send_fds(socket.socket(fileno=3), [b'x'], [0])\nprint('WON')",
        ),
        "make a pair of sockets": ("anyone", "import socket\nprint('WON', socket.socketpair())"),
        "make a file in memory": ("anyone", "print('WON', syscall(319, b'x', 0))"),
        "make a secret memory": ("some", "print('WON', syscall(447, 0))"),
    },
)
SYSTEM_CALLS = table(
    "system calls",
    {
        "io_uring": ("some", "print('WON', syscall(425, 4, ctypes.create_string_buffer(120)))"),
        "trace another": ("anyone", "print('WON', syscall(101, 16, VICTIM, 0, 0))"),
        "be traced": ("anyone", "print('WON', syscall(101, 0, 0, 0, 0))"),
        "read the memory of another": ("anyone", "print('WON', syscall(310, VICTIM, 0, 0, 0, 0, 0))"),
        "write the memory of another": ("anyone", "print('WON', syscall(311, VICTIM, 0, 0, 0, 0, 0))"),
        "add a key": ("some", "print('WON', syscall(248, b'user', b'x', b'y', 1, -2))"),
        "look at keys": ("some", "print('WON', syscall(250, 0, -3, 1))"),
        "make a map of bpf": (
            "some",
            "print('WON', syscall(321, 0, struct.pack('5I', 2, 4, 4, 1, 0) + bytes(100), 120))",
        ),
        "count events": (
            "some",
            "attributes = struct.pack('IIQQQQQ', 1, 112, 0, 0, 0, 0, 0x61) + bytes(64)\n"
            "print('WON', syscall(298, attributes, 0, -1, -1, 0))",
        ),
        "userfaultfd": ("some", "print('WON', syscall(323, 1))"),
        "compare processes": ("some", "print('WON', syscall(312, HOST, os.getpid(), 2, 0, 0))"),
        "change the personality": ("anyone", "print('WON', syscall(135, 0x0400000))"),
        "memory that is written and run": (
            "anyone",
            "import mmap\nmemory = mmap.mmap(-1, 4096, prot=7)\nmemory.write(b'\\xb8\\x2a\\0\\0\\0\\xc3')\n"
            "place = ctypes.addressof(ctypes.c_char.from_buffer(memory))\n"
            "print('WON' if ctypes.CFUNCTYPE(ctypes.c_int)(place)() == 42 else '')",
        ),
        "memory that is made to run": (
            "anyone",
            "import mmap\nmemory = mmap.mmap(-1, 4096)\nplace = ctypes.addressof(ctypes.c_char.from_buffer(memory))\n"
            "print('WON', syscall(10, ctypes.c_void_p(place), 4096, 5))",
        ),
        "the other table of calls": ("never", "print('WON', syscall(0x40000000 + 39))"),
        "a timer that interrupts": ("anyone", "import signal\nsignal.setitimer(signal.ITIMER_REAL, 9)\nprint('WON')"),
    },
)
NAMESPACES = table(
    "namespaces",
    {
        "a new one of users": ("some", "print('WON', syscall(272, 0x10000000))"),
        "a new one of mounts": ("root", "print('WON', syscall(272, 0x20000))"),
        "a child in new ones": ("some", "if not syscall(56, 17 | 0x30000000, 0, 0, 0, 0): os._exit(0)\nprint('WON')"),
        "that of the host": ("root", "print('WON', syscall(308, os.open(f'/proc/{HOST}/ns/net', 0), 0x40000000))"),
        "that of its parent by pidfd": (
            "root",
            "print('WON', syscall(308, os.pidfd_open(os.getppid() or 1), 0x20000))",
        ),
        "another root": ("root", "os.chroot('/')\nprint('WON')"),
        "a mount": ("never", "print('WON', syscall(165, b'none', b'/', b'tmpfs', 0, 0))"),
        "an unmount": ("never", "print('WON', syscall(166, b'/', 2))"),
        "another user": ("root", "os.setuid(0)\nprint('WON')"),
        "other groups": ("root", "os.setgroups([0])\nprint('WON')"),
        "capabilities": (
            "root",
            "print('WON', syscall(126, struct.pack('Ii', 0x20080522, 0), struct.pack('6I', 1, 1, 0, 0, 0, 0)))",
        ),
    },
)
REMOVAL = table(
    "taking layers off",
    {
        "seccomp off": ("never", "print('WON', syscall(157, 22, 0, 0, 0, 0))"),
        "seccomp asked": ("some", "print('WON', syscall(317, 3, 0, ctypes.create_string_buffer(16)))"),
        "landlock asked": ("some", "print('WON', syscall(444, 0, 0, 1))"),
        "privileges again": ("never", "print('WON', syscall(157, 38, 0, 0, 0, 0))"),
        "outlive the parent": ("anyone", "print('WON', syscall(157, 1, 0, 0, 0, 0))"),
        "be dumpable": ("anyone", "print('WON', syscall(157, 4, 1, 0, 0, 0))"),
        "more memory": ("anyone", "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nprint('WON')"),
        "more processes": (
            "anyone",
            "import resource\nresource.setrlimit(resource.RLIMIT_NPROC, (99, 99))\nprint('WON')",
        ),
        "larger files": (
            "anyone",
            "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (99, 99))\nprint('WON')",
        ),
    },
)
SHARED = table(
    "shared memory and siblings",
    {
        "the host's segment": (
            "some",
            "libc.shmat.restype = ctypes.c_void_p\nplace = libc.shmat(syscall(29, SEGMENT, 64, 0), None, 0o10000)\n"
            "print(ctypes.string_at(place, 64))",
        ),
        "the host's file in memory": ("some", "print(open(SHARED_FILE).read())"),
        "a sibling's objects": (
            "never",
            "import gc, sys\nfor found in gc.get_objects():\n    if type(found) is dict:\n"
            "        print([v for v in found.values() if type(v) is str and v.startswith('secret-')] or '', end='')",
        ),
        "a sibling's memory": (
            "never",
            "for pid in [*range(1, 60), SIBLING]:\n    if pid == os.getpid(): continue\n"
            "    try: syscall(310, pid, 0, 0, 0, 0, 0)\n    except OSError: continue\n    print('WON')",
        ),
        "a sibling's end": (
            "never",
            "for pid in [*range(1, 60), SIBLING]:\n    if pid == os.getpid(): continue\n"
            "    try: os.kill(pid, 9)\n    except OSError: continue\n    print('WON')",
        ),
        "a sibling's files in /proc": ("never", "print('WON', open(f'/proc/{SIBLING}/maps').read())"),
    },
)
REACHING: list[Attack] = [
    *(FILES + LEFT_BEHIND + NETWORK + PROCESSES + SIGNALS + ENVIRONMENT),
    *(PROC + DESCRIPTORS + SYSTEM_CALLS + NAMESPACES + REMOVAL + SHARED),
]
