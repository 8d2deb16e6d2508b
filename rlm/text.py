"""A text that stays in its file: views of it cost nothing, and only what is looked at is read.

A gigabyte as a str takes one to four, and a copy for each process. Here host and sandbox map one file, and an index of
a few thousand numbers says in which block a character or a line stands.
"""

import codecs
import hashlib
import mmap
import os
import tempfile
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

BLOCK = 1 << 20  # bytes
MOST_PARTS = 100_000  # at once


@dataclass(frozen=True)
class Index:
    """How many characters and line ends lie before each block of BLOCK bytes, and at last before the end.

    digest: SHA-256 of all bytes.
    """

    characters: list[int]
    newlines: list[int]
    digest: str


class Source:
    """A file of valid UTF-8, mapped into memory, and held open by a descriptor of its own."""

    def __init__(self, file: BinaryIO, index: Index | None = None) -> None:
        """`index` where another process made it already. Raises ValueError for bytes that are no text."""
        self.fd = os.dup(file.fileno())
        self.release = weakref.finalize(self, os.close, self.fd)  # what is mapped stays
        self.num_bytes = os.fstat(file.fileno()).st_size
        self.index = index or _indexed(file)
        # An empty file cannot be mapped.
        self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self.num_bytes else b""

    def part(self, start: int, end: int) -> "Text":
        """From a byte to another; raises ValueError where no character begins."""
        if not 0 <= start <= end <= self.num_bytes:
            raise ValueError(f"bytes {start} to {end} of {self.num_bytes}")
        if any(place < self.num_bytes and _continues(self.data[place]) for place in (start, end)):
            raise ValueError(f"bytes {start} to {end} cut a character")
        return Text(self, start, end)

    def character(self, place: int) -> int:
        """How many characters lie before the byte at `place`, where one begins."""
        block = place // BLOCK
        return self.index.characters[block] + _count_characters(self.data[block * BLOCK : place])

    def byte(self, character: int) -> int:
        """The byte at which a character begins, or the end."""
        block = bisect_right(self.index.characters, character) - 1
        start = min(block * BLOCK, self.num_bytes)
        left = character - self.index.characters[block]
        while start < self.num_bytes and _continues(self.data[start]):
            start += 1
        # Four bytes a character at most; a whole block, and the character that it cuts, hold all of them.
        part = self.data[start : min(start + 4 * left, (block + 1) * BLOCK + 3)]
        return start + len(part.decode(errors="ignore")[:left].encode())

    def newline(self, place: int) -> int:
        """How many line ends lie before the byte at `place`."""
        block = place // BLOCK
        return self.index.newlines[block] + self.data[block * BLOCK : place].count(b"\n")

    def line(self, line: int) -> int:
        """The byte at which a line begins; the end, where there are no more."""
        if line >= self.index.newlines[-1] + 1:
            return self.num_bytes
        if line == 0:
            return 0
        # The block in which the line end before it lies, and of its line ends that one.
        block = bisect_right(self.index.newlines, line - 1) - 1
        place = block * BLOCK
        for _ in range(line - self.index.newlines[block]):
            place = self.data.find(b"\n", place) + 1
        return place


class Text:
    """A part of a source, from byte `start` to byte `end`; it reads like a str, and gives strs where it is read.

    Lines end with a newline, which belongs to none; a last one that ends nothing is no line.
    """

    def __init__(self, source: Source, start: int = 0, end: int | None = None) -> None:
        self.source = source
        self.start, self.end = start, source.num_bytes if end is None else end

    @staticmethod
    def open(path: Path) -> "Text":
        """The whole file; raises ValueError where it is no text, OSError where it cannot be read."""
        with path.open("rb") as file:
            try:
                return Text(Source(file))
            except ValueError as error:
                raise ValueError(f"context {path}: {error}") from None

    @staticmethod
    def of(text: str) -> "Text":
        """A text that was not in a file."""
        with tempfile.TemporaryFile() as file:
            file.write(text.encode())
            file.flush()
            return Text(Source(file))

    @property
    def num_bytes(self) -> int:
        """In UTF-8."""
        return self.end - self.start

    @property
    def num_lines(self) -> int:
        """Lines, the last one without its end too."""
        if not self.num_bytes:
            return 0
        ends = self.source.newline(self.end) - self.source.newline(self.start)
        return ends + (self.source.data[self.end - 1 : self.end] != b"\n")

    def __len__(self) -> int:
        return self.source.character(self.end) - self.source.character(self.start)

    def __str__(self) -> str:
        return self.source.data[self.start : self.end].decode()

    def __repr__(self) -> str:
        return f"<text of {len(self)} characters, {self.num_lines} lines>"

    def __getitem__(self, place: int | slice) -> str:
        if isinstance(place, slice):
            first, last, step = place.indices(len(self))
            if step != 1:
                return str(self)[place]
            return str(self.part(first, max(first, last)))
        length = len(self)
        if not -length <= place < length:
            raise IndexError(f"character {place} of {length}")
        return str(self.part(place % length, place % length + 1))

    def __iter__(self) -> Iterator[str]:
        """Its lines, without their ends."""
        place = self.start
        while place < self.end:
            found = self.source.data.find(b"\n", place, self.end)
            end = self.end if found < 0 else found
            yield self.source.data[place:end].decode()
            place = end + 1

    def __contains__(self, literal: str) -> bool:
        return self.source.data.find(literal.encode(), self.start, self.end) >= 0

    def find(self, literal: str, start: int = 0) -> int:
        """The first character of the literal at `start` or after it, -1 where it is not."""
        offset = self.source.character(self.start)
        if start < 0:
            start = max(0, start + len(self))
        first = self.source.byte(offset + start) if start else self.start
        if first > self.end:
            return -1
        found = self.source.data.find(literal.encode(), first, self.end)
        return found if found < 0 else self.source.character(found) - offset

    def count(self, literal: str) -> int:
        """How often the literal stands in it, without overlaps; raises ValueError for an empty one."""
        if not literal:
            raise ValueError("an empty literal stands everywhere: give one with a character")
        wanted, place, times = literal.encode(), self.start, 0
        while (found := self.source.data.find(wanted, place, self.end)) >= 0:
            place, times = found + len(wanted), times + 1
        return times

    def part(self, first: int, last: int) -> "Text":
        """The characters from `first` to before `last`, both from 0 on; fewer where it has not as many."""
        offset = self.source.character(self.start)
        start = min(self.end, self.source.byte(offset + max(0, first)))
        end = min(self.end, self.source.byte(offset + max(0, last)))
        return Text(self.source, start, max(start, end))

    def lines(self, first: int, last: int) -> "Text":
        """The lines from `first` to before `last`, both from 0 on; fewer where it has not as many."""
        before = self.source.newline(self.start)
        start = self.start if first <= 0 else min(self.end, self.source.line(before + first))
        end = start if last <= first else min(self.end, self.source.line(before + last))
        return Text(self.source, start, max(start, end))

    def grep(self, literal: str) -> "list[Text]":
        """The lines that the literal stands in, each a text of its own.

        Raises ValueError for an empty literal, and where there are more than MOST_PARTS.
        """
        if not literal:
            raise ValueError("an empty literal stands everywhere: give one with a character")
        data, wanted, place, found = self.source.data, literal.encode(), self.start, []
        while (hit := data.find(wanted, place, self.end)) >= 0:
            start = max(self.start, data.rfind(b"\n", self.start, hit) + 1)
            newline = data.find(b"\n", hit, self.end)
            end = self.end if newline < 0 else newline + 1
            found.append(Text(self.source, start, end))
            place = end
            if len(found) > MOST_PARTS:
                raise ValueError(f"more than {MOST_PARTS:,} lines have {literal!r}: look in a part")
            if place >= self.end:
                break
        return found

    def split(self, num_bytes: int) -> "list[Text]":
        """Parts of at most so many bytes, which end where a line does; a line that is longer is cut.

        Raises ValueError for fewer than four, which may hold no character, and where it is more than MOST_PARTS.
        """
        least = max(4, -(-self.num_bytes // MOST_PARTS))
        if num_bytes < least:
            raise ValueError(f"parts of {num_bytes} bytes, of a text of {self.num_bytes}: give at least {least} bytes")
        data, parts, start = self.source.data, [], self.start
        while start < self.end:
            end = min(start + num_bytes, self.end)
            if end < self.end:
                newline = data.rfind(b"\n", start, end)
                end = newline + 1 if newline >= 0 else end
                while _continues(data[end]):
                    end -= 1
            parts.append(Text(self.source, start, end))
            start = end
        return parts


def gather(place: Path, tell: Callable[[str], None] = lambda told: None) -> Text:
    """A file, or all text files below a folder, each after a line with its name; `tell` hears which are left out.

    Raises ValueError where there is no text.
    """
    if not place.exists():
        raise ValueError(f"context {place} does not exist: name a file, a folder or -")
    if place.is_file():
        return Text.open(place)
    with tempfile.TemporaryFile() as whole:
        for path in sorted(path for path in place.rglob("*") if path.is_file()):
            content = path.read_bytes()
            if b"\0" in content or not _is_text(content):
                tell(f"{path} is no UTF-8 text and is left out")
                continue
            whole.write(f"=== {path.relative_to(place)} ===\n".encode() + content.removesuffix(b"\n") + b"\n")
        whole.flush()
        if not whole.tell():
            raise ValueError(f"context {place} has no text files below it: name another folder")
        return Text(Source(whole))


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _indexed(file: BinaryIO) -> Index:
    """Reads the file once, block by block, and keeps nothing of it."""
    decoder, digest = codecs.getincrementaldecoder("utf-8")(), hashlib.sha256()
    characters, newlines, place = [0], [0], 0
    while block := os.pread(file.fileno(), BLOCK, place):
        try:
            decoder.decode(block, final=False)
        except UnicodeDecodeError as error:
            raise ValueError(f"no UTF-8 text after byte {place}: {error.reason}; convert it first") from None
        if b"\0" in block:
            raise ValueError(f"a NUL after byte {place}: it is no text; convert it first")
        place += len(block)
        digest.update(block)
        characters.append(characters[-1] + _count_characters(block))
        newlines.append(newlines[-1] + block.count(b"\n"))
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise ValueError("the last character is cut: it is no UTF-8 text; convert it first") from None
    return Index(characters, newlines, digest.hexdigest())


CONTINUATION = bytes(range(0x80, 0xC0))


def _continues(byte: int) -> bool:
    return byte & 0xC0 == 0x80


def _count_characters(data: bytes) -> int:
    """Of UTF-8 that may begin or end inside one: a character counts where it begins."""
    return len(data) if data.isascii() else len(data.translate(None, CONTINUATION))
