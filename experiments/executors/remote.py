"""The files at an fsspec URL, whatever serves them: what goes wrong there has one name."""

import contextlib
import errno
from collections.abc import Container, Iterator
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)


class StoreAway(OSError):
    """What serves the store's URL failed at what it was asked; it may not when it is asked again."""


class RemoteFiles:
    """The files below `url`; raises ValueError for a URL that no installed filesystem serves.

    A folder that is not there is empty. Every other trouble of the filesystem raises StoreAway.
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        try:
            with _as_away(url):
                self.files, self.root = url_to_fs(url)
        except StoreAway as error:
            raise ValueError(
                f"executor.store is {error}: give a URL of file://, or of a filesystem that is installed (s3:// needs "
                "s3fs, gs:// gcsfs)"
            ) from None

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of every file below the folder, by its path there."""
        self.files.invalidate_cache()  # other machines write there
        try:
            with _as_away(folder):  # find() would leave out folders that it fails to list
                found = list(self.files.walk(folder, on_error="raise", detail=True))
        except FileNotFoundError:
            return {}
        return {file["name"]: file["size"] for _, _, files in found for file in files.values()}

    def get(self, there: str, here: Path) -> None:
        """Brings a file; raises OSError where it is this machine's disk that is full."""
        here.parent.mkdir(parents=True, exist_ok=True)
        with _as_away(there, but=FULL):
            self.files.get_file(there, str(here))

    def put(self, here: Path, there: str) -> bool:
        """Sends a file; False where it is no longer here."""
        try:
            with _as_away(there):
                self.files.makedirs(there.rpartition("/")[0], exist_ok=True)
                self.files.put_file(str(here), there)
        except FileNotFoundError as error:
            if here.exists():
                raise StoreAway(f"{there!r}: {error}") from error
            return False
        return True

    def remove(self, there: str) -> None:
        """Removes a file, if it is there."""
        with contextlib.suppress(FileNotFoundError), _as_away(there):
            self.files.rm_file(there)


@contextlib.contextmanager
def _as_away(there: str, but: Container[int | None] = ()) -> Iterator[None]:
    """Gives a filesystem's error its name, but where a file is missing or the error's number is in `but`."""
    try:
        yield
    except FileNotFoundError:
        raise
    # A filesystem is a plugin, and raises what its client library does: botocore's errors have no base but Exception.
    except Exception as error:
        if isinstance(error, OSError) and error.errno in but:
            raise
        raise StoreAway(f"{there!r}: {type(error).__name__}: {error}") from error
