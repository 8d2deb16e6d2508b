"""The held-out excerpts: every held-out package, file or dataset in proportion to its bytes, one cut a document."""

from collections import defaultdict
from dataclasses import dataclass

from sweeps.corpus.params import ValidationParams
from sweeps.corpus.select import Candidate
from sweeps.corpus.sources import Document

LINE_FEED = 10


@dataclass(frozen=True)
class Excerpt:
    """A piece of a held-out document, at most `document_bytes` long in UTF-8."""

    document: Document
    text: str


def cut_excerpts(held_out: list[Candidate], params: ValidationParams) -> list[Excerpt]:
    """As many excerpts as the params ask for, in the order of their documents' hashes.

    Half of the excerpts are the start of their document, half begin at a later line. A document shorter than half an
    excerpt is not used. Raises ValueError if too few documents are left.
    """
    by_group: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in sorted(held_out, key=lambda candidate: candidate.digest):
        if 2 * candidate.num_bytes >= params.document_bytes:
            by_group[candidate.document.group].append(candidate)
    num_usable = sum(map(len, by_group.values()))
    if num_usable < params.documents:
        raise ValueError(
            f"validation.documents {params.documents} is more than the {num_usable} held-out documents of "
            f"{params.document_bytes // 2} bytes or more: raise "
            "corpus.validation_share (or name more validation_groups), or lower validation.documents"
        )
    quotas = _quotas(by_group, params.documents)
    chosen = [candidate for group, members in by_group.items() for candidate in members[: quotas[group]]]
    chosen.sort(key=lambda candidate: candidate.digest)
    return [Excerpt(candidate.document, _cut(candidate, params.document_bytes)) for candidate in chosen]


def _quotas(by_group: dict[str, list[Candidate]], num_documents: int) -> dict[str, int]:
    """Excerpts a group: one at a time to the group that lags most behind its share of the bytes and has some left."""
    num_bytes = {group: sum(member.num_bytes for member in members) for group, members in by_group.items()}
    quotas = dict.fromkeys(sorted(by_group), 0)
    for _ in range(num_documents):
        with_some_left = [group for group in quotas if quotas[group] < len(by_group[group])]
        quotas[max(with_some_left, key=lambda group: num_bytes[group] / (quotas[group] + 1))] += 1
    return quotas


def _cut(candidate: Candidate, max_bytes: int) -> str:
    """The start of the document, or for one hash in two, what follows a line end at a place that the hash tells."""
    content = candidate.document.text.encode()
    start = 0
    latest = len(content) - max_bytes
    if candidate.digest[0] % 2 and latest > 0:
        start = content.find(LINE_FEED, int.from_bytes(candidate.digest[1:9], "big") % latest, latest) + 1
    # A cut inside a character leaves its first bytes behind, which are dropped; a line starts with a whole one.
    return content[start : start + max_bytes].decode(errors="ignore")
