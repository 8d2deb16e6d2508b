"""One's own texts in a preset's place: which files are meant, what is held out, and what the grid asks of the rest."""

import glob
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.wording import byte_size
from experiments.afford import Afforded, afford, token_range, tokens_needed
from experiments.params import Params
from sweeps.corpus.params import CorpusParams, ValidationParams
from sweeps.corpus.select import Selection, select_documents
from sweeps.corpus.sources import READERS, matched_files, read_documents
from sweeps.grid import Suite

# Shares of the text to hold out, in turn, until they give ENOUGH excerpts: below it a mean loss says little.
SHARES, ENOUGH = (0.05, 0.1, 0.2), 32
PASSAGE_BYTES = 8192
LAW = "law"


@dataclass(frozen=True)
class OwnTexts:
    """What a preset becomes: its corpus, its validation, the grids of its suites on text, and what to know of them."""

    corpus: CorpusParams
    validation: ValidationParams
    grids: dict[str, Afforded]
    told: list[str]


def fit_to_texts(params: Params, texts: Sequence[str], text_field: str, progress: Callable[[str], None]) -> OwnTexts:
    """Looks at the texts and sets a preset to what they afford; raises ValueError where they cannot be read or suffice.

    `texts` are files, folders and globs. Duplicates count once; no more is read than the preset's max_bytes need.
    """
    try:
        patterns, skipped = patterns_of(texts)
        corpus = CorpusParams(
            source="files", max_bytes=params.corpus.max_bytes, paths=tuple(patterns), text_field=text_field
        )
        files = matched_files(corpus)
        sizes = [len(document.text.encode()) for document in read_documents(corpus)]
        if not sum(sizes):
            raise ValueError(f"corpus.paths: the {len(files)} files hold no text: name others")
        corpus, validation = held_out(corpus, params.validation, sizes)
        selection = select_documents(corpus, progress)
    except ValueError as error:
        raise ValueError(_as_typed(str(error))) from None
    # Every preset's token is a byte, and each document begins with one more.
    tokens = sum(1 + candidate.num_bytes for candidate in selection.train)
    suites = {name: suite for name, suite in params.suites.items() if suite.data == "text"}
    grids = {name: afford(suite, tokens) for name, suite in suites.items()}
    if grids[LAW].how == "not at all":
        raise ValueError(
            _too_short(sum(sizes), len(files), tokens, tokens_needed(suites[LAW]), corpus.validation_share)
        )
    usable = [c for c in selection.validation if 2 * c.num_bytes >= validation.document_bytes]
    validation = replace(validation, documents=min(params.validation.documents, len(usable)))
    told = [_files_told(files, skipped, sizes, selection), _held_out_told(corpus, validation, selection)]
    told += [_grid_told(name, suites[name], grid) for name, grid in grids.items()]
    return OwnTexts(corpus, validation, grids, told)


def patterns_of(texts: Sequence[str]) -> tuple[list[str], Counter[str]]:
    """Globs of the files that are meant and, by suffix, how many files in folders are of no known kind.

    Raises ValueError for a folder without a file of a known kind; what matches nothing is left to the reader.
    """
    patterns: list[str] = []
    skipped: Counter[str] = Counter()
    files: dict[tuple[Path, str], set[Path]] = defaultdict(set)
    for text in texts:
        path = Path(text).expanduser()
        if path.is_dir():
            inside = Counter(file.suffix for file in map(Path, _glob(f"{_literal(path)}/**/*")) if file.is_file())
            known = sorted(suffix for suffix in inside if suffix.lower() in READERS)
            if not known:
                raise ValueError(f"corpus.paths: in {text} there is no {', '.join(READERS)} file: name another folder")
            patterns += [f"{_literal(path)}/**/*{suffix}" for suffix in known]
            skipped += Counter({suffix: count for suffix, count in inside.items() if suffix not in known})
        elif path.is_file():
            files[path.parent, path.suffix].add(path)
        else:
            patterns.append(str(path))
    for (folder, suffix), members in files.items():
        of_a_kind = f"{_literal(folder)}/*{suffix}"  # What a shell made of a glob is a glob again.
        is_all = len(members) > 1 and suffix and set(map(Path, _glob(of_a_kind))) == members
        patterns += [of_a_kind] if is_all else sorted(map(_literal, members))
    return list(dict.fromkeys(patterns)), skipped


def held_out(
    corpus: CorpusParams, validation: ValidationParams, sizes: Sequence[int]
) -> tuple[CorpusParams, ValidationParams]:
    """Whole documents of the smallest share that is enough; else documents cut into passages, so that there are more.

    `sizes` are the documents' bytes. A document as long as half of what is held out would decide alone what that is.
    """
    whole = min(sum(sizes), corpus.max_bytes_held_and_trained)
    enough = min(ENOUGH, validation.documents)
    usable = sum(2 * size >= validation.document_bytes for size in sizes) * whole / sum(sizes)
    for share in SHARES:
        if usable * share >= enough and 2 * max(sizes) <= share * whole:
            return replace(corpus, validation_share=share), validation
    for share in SHARES:
        passage = max(validation.document_bytes, min(PASSAGE_BYTES, int(share * whole / validation.documents)))
        if share * whole >= enough * passage or share == SHARES[-1]:
            return replace(corpus, validation_share=share, passage_bytes=passage), validation
    raise AssertionError("the last share is taken")


def _glob(pattern: str) -> list[str]:
    return glob.glob(pattern, recursive=True)  # noqa: PTH207 (may be absolute)


def _literal(path: Path) -> str:
    return glob.escape(str(path))


def _as_typed(message: str) -> str:
    """A message about params.yaml in the words of the command line."""
    return message.replace("corpus.paths", "texts").replace("corpus.text_field", "--text-field")


def _too_short(num_bytes: int, num_files: int, tokens: int, needed: int, validation_share: float) -> str:
    wanted = byte_size(_rounded_up(needed / (1 - validation_share)))
    return (
        f"texts: {byte_size(num_bytes)} in {num_files} files leave {tokens:,} tokens to train on, once duplicates and "
        f"what is held out are taken away, and the law needs {needed:,}: give about {wanted} "
        "of text that is not there twice, or take the smoke preset, which needs less (its law means nothing)"
    )


def _rounded_up(num_bytes: float) -> int:
    """To two digits, so that what is read off is enough."""
    step = 10 ** (int(math.log10(num_bytes)) - 1)
    return math.ceil(num_bytes / step) * step


def _files_told(files: list[Path], skipped: Counter[str], sizes: list[int], selection: Selection) -> str:
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in Counter(file.suffix for file in files).items())
    on_disk, copies = sum(file.stat().st_size for file in files), selection.duplicates
    left = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in skipped.most_common(5))
    return (
        f"texts: {len(sizes):,} documents, {byte_size(sum(sizes))}, in {len(files):,} files ({kinds})"
        + f"; {copies.exact + copies.near} duplicates are left out" * bool(copies.exact + copies.near)
        + f"; files of other kinds are left out: {left}" * bool(left)
        + f"; of {byte_size(on_disk)} on disk the rest is more than the preset reads" * (on_disk > 1.5 * sum(sizes))
    )


def _held_out_told(corpus: CorpusParams, validation: ValidationParams, selection: Selection) -> str:
    num_bytes = sum(candidate.num_bytes for candidate in selection.validation)
    what = "whole documents" if corpus.passage_bytes is None else "passages"
    told = (
        f"held out: {len(selection.validation)} {what}, {byte_size(num_bytes)} ({corpus.validation_share:.0%}); loss "
        f"is measured on {validation.documents} excerpts of at most {validation.document_bytes:,} bytes"
    )
    if corpus.passage_bytes is None:
        return told
    return (
        f"{told}. The documents are few, or one is long, so they are cut into passages of {corpus.passage_bytes:,} "
        "bytes. Training sees other passages of the same documents: the loss says how well these are learnt, and less "
        "of new ones"
    )


def _grid_told(name: str, suite: Suite, grid: Afforded) -> str:
    low, high = token_range(grid.blocks)
    widths = sorted({size for block in grid.blocks if block is not None for size in block.sizes})
    sizes = f"sizes {widths[0]} to {widths[-1]}" if len(widths) > 1 else f"size {widths[0]}"
    runs = f"{name}: {sizes} on {low:,} to {high:,} tokens (a token is a byte)"
    match grid.how:
        case "whole":
            return f"{runs}, as the preset has it"
        case "shorter":
            least = (
                f"{runs}, fewer than the preset's {token_range(suite.grid)[1]:,}, so that no run repeats what is there"
            )
            return least + "; it is the same kind of law, from less data, with wider intervals" * (name == LAW)
        case "without":
            return f"{runs}, on repeated tokens alone: there are too few for runs that see each once"
        case "not at all":
            return f"{runs}, which is more than there is: `dvc repro {name}` will refuse until there is more text"
