"""The three sources of text, each a function that yields documents in an order that is always the same."""

import codecs
import glob
import hashlib
import importlib.metadata
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.corpus.params import CorpusParams, package_key

TEXT_SUFFIXES = (".py", ".pyi", ".md", ".rst", ".txt")
MIN_FILE_BYTES, MAX_FILE_BYTES = 200, 1_000_000
# Code and prose have short lines and short words; tables, minified code and base64 do not.
MAX_MEAN_LINE, MAX_MEAN_WORD = 200, 30
MAX_LICENSE_LENGTH = 64
# Files are read until they give this many times the text that is kept: duplicates leave, and a hash chooses.
READ_AHEAD = 2


@dataclass(frozen=True)
class Document:
    """One text with the package, file or dataset (`group`) it came from and its name in there."""

    text: str
    group: str
    name: str
    version: str = ""
    license: str = "unknown"


def read_documents(params: CorpusParams) -> Iterator[Document]:
    """Every document of the source with newlines as line feeds; raises ValueError where it cannot be read."""
    match params.source:
        case "installed":
            return _read_installed(params)
        case "files":
            return _read_files(params)
        case "huggingface":
            return _read_huggingface(params)


def _read_installed(params: CorpusParams) -> Iterator[Document]:
    fields = [("packages", name) for name in params.packages]
    fields += [("validation_groups", name) for name in params.validation_groups]
    found = [(package_key(name), _pure_distribution(field, name)) for field, name in fields]
    for key, distribution in sorted(found, key=lambda pair: pair[0]):
        version, license_name = distribution.version, _license(distribution.metadata)
        for path in sorted(distribution.files or (), key=lambda path: path.as_posix()):
            outside = ".." in path.parts or path.is_absolute() or path.parts[0].endswith(".dist-info")
            if path.suffix not in TEXT_SUFFIXES or outside:
                continue
            text = _read_text(Path(str(distribution.locate_file(path))))
            if text is not None:
                yield Document(text, key, path.as_posix(), version, license_name)


def _pure_distribution(field: str, name: str) -> importlib.metadata.Distribution:
    """The installed package of that name; raises ValueError if there is none or if it holds compiled code."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise ValueError(f"corpus.{field} names {name}, which is not installed: install it or take it out") from None
    if "Root-Is-Purelib: true" not in (distribution.read_text("WHEEL") or ""):
        raise ValueError(
            f"corpus.{field} names {name}, which is not a pure Python wheel: its text may differ between "
            "machines, so take it out"
        )
    return distribution


def _license(metadata: Any) -> str:
    """The licence as the metadata's newest field states it; `License` may hold the whole text, which is no name."""
    stated = metadata.get("License-Expression") or metadata.get("License") or ""
    if stated and stated != "UNKNOWN" and len(stated) <= MAX_LICENSE_LENGTH and "\n" not in stated:
        return stated
    classifiers = [text for text in metadata.get_all("Classifier") or () if text.startswith("License ::")]
    names = sorted({text.split(" :: ")[-1] for text in classifiers} - {"OSI Approved"})
    return " OR ".join(names) or stated.strip().split("\n")[0].strip()[:MAX_LICENSE_LENGTH] or "unknown"


def _read_text(path: Path) -> str | None:
    """The text of a file of code or prose; None if it is missing, too short, too long, or not such a text."""
    try:
        content = path.read_bytes()
        text = normalise(content.decode())
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    words = text.split()
    if not MIN_FILE_BYTES <= len(content) <= MAX_FILE_BYTES or not words:
        return None
    long_lines = len(text) > MAX_MEAN_LINE * (text.count("\n") + 1)
    return None if long_lines or sum(map(len, words)) > MAX_MEAN_WORD * len(words) else text


def normalise(text: str) -> str:
    """The text with every line end a line feed and without a byte order mark."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def matched_files(params: CorpusParams) -> list[Path]:
    """The files that `paths` names now, sorted; raises ValueError for a pattern that matches none."""
    paths: set[Path] = set()
    for pattern in params.paths:
        matches = {Path(path) for path in glob.glob(pattern, recursive=True)}  # noqa: PTH207 (may be absolute)
        files = {path for path in matches if path.is_file()}
        if not files:
            raise ValueError(f"corpus.paths {pattern!r} matches no file: check it and the directory it starts in")
        paths |= files
    return sorted(paths)


def file_stamps(params: CorpusParams) -> list[list[Any]]:
    """Name, bytes and time of change of every file of source `files`; empty for the sources that are not files."""
    if params.source != "files":
        return []
    return [[path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns] for path in matched_files(params)]


def _read_files(params: CorpusParams) -> Iterator[Document]:
    paths = matched_files(params)
    for path in paths:
        if path.suffix.lower() not in READERS:
            raise ValueError(f"corpus.paths matches {path}, of no known kind: use {', '.join(READERS)} files")
    bytes_wanted = int(READ_AHEAD * params.max_bytes_held_and_trained)
    if sum(path.stat().st_size for path in paths) > bytes_wanted:  # Some stay unread: which ones, no name decides.
        paths.sort(key=lambda path: hashlib.sha256(path.as_posix().encode()).digest())
    for path in paths:
        for name, text in READERS[path.suffix.lower()](path, params.text_field, bytes_wanted):
            text = normalise(text)
            for number, passage in enumerate(cut_passages(text, params.passage_bytes)):
                yield Document(passage, path.as_posix(), name if passage == text else f"{name}#{number}")
            bytes_wanted -= len(text.encode())
            if bytes_wanted <= 0:
                return


def cut_passages(text: str, max_bytes: int | None) -> Iterator[str]:
    """The text in pieces of at most that many bytes of UTF-8, which join to it; cut after line ends where it can be."""
    content = text.encode()
    start = 0
    while max_bytes is not None and len(content) - start > max_bytes:
        end = content.rfind(b"\n", start, start + max_bytes) + 1 or start + max_bytes
        while end > start and content[end] & 0b1100_0000 == 0b1000_0000:  # Not inside a character.
            end -= 1
        if end == start:  # A character is longer than a passage.
            break
        yield content[start:end].decode()
        start = end
    yield content[start:].decode()


def _rows_of_text(path: Path, text_field: str, max_bytes: int) -> Iterator[tuple[str, str]]:
    with path.open("rb") as file:
        content, is_whole = file.read(max_bytes), not file.read(1)
    try:
        yield "", codecs.getincrementaldecoder("utf-8")().decode(content, final=is_whole)
    except UnicodeDecodeError as error:
        raise ValueError(f"corpus.paths matches {path}, which is not UTF-8 at byte {error.start}: convert it") from None


def _rows_of_jsonl(path: Path, text_field: str, max_bytes: int) -> Iterator[tuple[str, str]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line) if line.strip() else None
            except ValueError as error:  # Not JSON, or not UTF-8.
                raise ValueError(f"corpus.paths: {path} line {number} is not JSON ({error}): repair the line") from None
            if row is not None:
                yield str(number), _field_of(row, text_field, f"{path} line {number}")


def _rows_of_parquet(path: Path, text_field: str, max_bytes: int) -> Iterator[tuple[str, str]]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"corpus.paths matches {path}, which is not Parquet ({error}): write it again") from None
    with file:
        names = file.schema_arrow.names
        if text_field not in names:
            raise ValueError(f"corpus.text_field {text_field!r} is no column of {path}: use one of {', '.join(names)}")
        number = 0
        for batch in file.iter_batches(columns=[text_field]):
            for row in batch.to_pylist():
                yield str(number), _field_of(row, text_field, f"{path} row {number}")
                number += 1


READERS = {
    **dict.fromkeys((".txt", ".md", ".rst", ".py", ".pyi"), _rows_of_text),
    ".jsonl": _rows_of_jsonl,
    ".parquet": _rows_of_parquet,
}


def _field_of(row: Any, text_field: str, place: str) -> str:
    if not isinstance(row, dict) or text_field not in row:
        names = ", ".join(map(str, row)) if isinstance(row, dict) else f"no columns ({type(row).__name__})"
        raise ValueError(f"corpus.text_field {text_field!r} is not in {place}, which has {names}: name another column")
    text = row[text_field]
    if not isinstance(text, str):
        raise ValueError(
            f"corpus.text_field {text_field!r} in {place} is {type(text).__name__}, not text: fill it or name "
            "another column"
        )
    return text.encode(errors="replace").decode()  # JSON can spell half a surrogate pair, UTF-8 cannot.


def _read_huggingface(params: CorpusParams) -> Iterator[Document]:
    """Rows of the dataset in its order until they fill the training text and the validation share."""
    rows, version, license_name = _open_dataset(params)
    bytes_wanted = params.max_bytes_held_and_trained
    for number, row in enumerate(rows):
        text = normalise(_field_of(row, params.text_field, f"{params.dataset} row {number}"))
        yield Document(text, params.dataset, str(number), version, license_name)
        bytes_wanted -= len(text.encode())
        if bytes_wanted <= 0:
            return


def _open_dataset(params: CorpusParams) -> tuple[Any, str, str]:
    """The rows of the dataset, streamed, and its version and licence as far as it states them."""
    import datasets

    try:
        rows = datasets.load_dataset(params.dataset, params.config, split=params.split, streaming=True)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"corpus.dataset {params.dataset!r} (config {params.config}, split {params.split}) cannot be opened "
            f"({reason}): check the names and the connection, or give a local directory"
        ) from None
    return rows, str(rows.info.version or ""), rows.info.license or "unknown"
