"""Which documents are kept: no duplicates, a held-out part that training has not seen, and no more than asked for."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from sweeps.corpus.dedup import NearDuplicates
from sweeps.corpus.params import CorpusParams, package_key
from sweeps.corpus.sources import Document, read_documents

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Candidate:
    """A document with the SHA-256 of its text, which orders it, and its size in bytes of UTF-8."""

    document: Document
    digest: bytes
    num_bytes: int


@dataclass(frozen=True)
class Duplicates:
    """Documents removed: as exact copies, as near ones, and how many of both for being like a held-out document."""

    exact: int
    near: int
    of_validation: int


@dataclass(frozen=True)
class Selection:
    """Training and held-out documents in the order of their hashes, and the training text there was before the caps."""

    train: list[Candidate]
    validation: list[Candidate]
    duplicates: Duplicates
    text_bytes_available: int


def select_documents(params: CorpusParams, progress: Progress | None = None) -> Selection:
    """Reads the source and keeps what the params ask for; the result depends on the params and the texts alone.

    Held-out documents come first when duplicates are removed, so that a document like a held-out one leaves training.
    Where there is more training text than `max_bytes`, documents are taken in the order of their hash.
    """
    report = progress or (lambda line: None)
    report(f"reading {params.source}")
    unique, num_exact, exact_of_validation = _without_copies(params, _candidates(read_documents(params)))
    held_out = _held_out(params, unique)
    report(f"comparing {len(unique)} documents")
    near = NearDuplicates()
    validation = [candidate for candidate in unique if candidate.digest in held_out]
    validation = [candidate for candidate in validation if near.add(candidate.document.text) is None]
    train, near_of_validation, num_near = [], 0, len(held_out) - len(validation)
    for candidate in unique:
        if candidate.digest in held_out:
            continue
        like = near.add(candidate.document.text)
        if like is None:
            train.append(candidate)
        else:
            num_near += 1
            near_of_validation += like < len(validation)
    available = sum(candidate.num_bytes for candidate in train)
    return Selection(
        train=_within(params.max_bytes, _capped_by_group(params.max_bytes_per_package, train)),
        validation=sorted(validation, key=lambda candidate: candidate.digest),
        duplicates=Duplicates(num_exact, num_near, exact_of_validation + near_of_validation),
        text_bytes_available=available,
    )


def _candidates(documents: Iterable[Document]) -> Iterator[Candidate]:
    for document in documents:
        content = document.text.encode()
        if content:
            yield Candidate(document, hashlib.sha256(content).digest(), len(content))


def _without_copies(params: CorpusParams, candidates: Iterable[Candidate]) -> tuple[list[Candidate], int, int]:
    """The first of each text, one that a held-out package has if any does, and the number of copies left out."""
    held_out_groups = _held_out_packages(params)
    first: dict[bytes, Candidate] = {}
    num_copies = num_of_validation = 0
    for candidate in candidates:
        kept = first.setdefault(candidate.digest, candidate)
        if kept is not candidate:
            num_copies += 1
            is_held_out, kept_is = candidate.document.group in held_out_groups, kept.document.group in held_out_groups
            num_of_validation += is_held_out != kept_is
            if is_held_out and not kept_is:
                first[candidate.digest] = candidate
    return list(first.values()), num_copies, num_of_validation


def _held_out_packages(params: CorpusParams) -> set[str]:
    return set(map(package_key, params.validation_groups if params.source == "installed" else ()))


def _held_out(params: CorpusParams, unique: list[Candidate]) -> set[bytes]:
    """Digests of the held-out documents: those of the packages named, or the first by hash that make up the share."""
    if params.source == "installed":
        packages = _held_out_packages(params)
        return {candidate.digest for candidate in unique if candidate.document.group in packages}
    # Another hash than the one that orders training, lest the cap on training text lean on this choice.
    by_hash = sorted(unique, key=lambda candidate: hashlib.sha256(b"validation" + candidate.digest).digest())
    wanted = params.validation_share * min(
        sum(candidate.num_bytes for candidate in unique), params.max_bytes_held_and_trained
    )
    held_out, num_bytes = set(), 0
    for candidate in by_hash:
        if num_bytes >= wanted:
            break
        held_out.add(candidate.digest)
        num_bytes += candidate.num_bytes
    return held_out


def _capped_by_group(max_bytes: int | None, candidates: list[Candidate]) -> list[Candidate]:
    if max_bytes is None:
        return candidates
    by_group = sorted(candidates, key=lambda candidate: candidate.document.group)
    groups = groupby(by_group, key=lambda candidate: candidate.document.group)
    return [candidate for _, members in groups for candidate in _within(max_bytes, members)]


def _within(max_bytes: int, candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates in the order of their hash, without those that would take the sum beyond the bytes."""
    taken, num_bytes = [], 0
    for candidate in sorted(candidates, key=lambda candidate: candidate.digest):
        if num_bytes + candidate.num_bytes <= max_bytes:
            taken.append(candidate)
            num_bytes += candidate.num_bytes
    return taken
