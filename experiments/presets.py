"""`scalelab use`: whole params files that answer the same questions at another cost, on one's own texts if wanted."""

import io
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from experiments.own_texts import OwnTexts, fit_to_texts
from experiments.params import load
from experiments.project import PARAMS

PRESETS = Path(__file__).parent / "presets"
PIPELINE = Path("dvc.yaml")
NULL = "tag:yaml.org,2002:null"


def put_in_place(name: str) -> str:
    """Writes a preset to params.yaml and says so; raises ValueError for a name that is no preset.

    A params.yaml that is no preset is kept beside it, and what was kept before stays as it is.
    """
    chosen = _preset(name)
    return _write(chosen.read_text(), f"the {name} preset")


def put_texts_in_place(name: str, texts: Sequence[str], text_field: str, progress: Callable[[str], None]) -> list[str]:
    """The same with a preset whose corpus is these files, folders and globs; the lines that tell what became of it."""
    chosen = _preset(name)
    own = fit_to_texts(load(chosen), texts, text_field, progress)
    return [*own.told, _write(with_texts(chosen, own), f"the {name} preset on these texts")]


def with_texts(preset: Path, own: OwnTexts) -> str:
    """The preset's YAML, comments kept, with the corpus, the validation and the grids that `own` has."""
    yaml = YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), lambda dumper, _: dumper.represent_scalar(NULL, "null"))
    tree = yaml.load(preset.read_text())
    tree.yaml_set_start_comment(
        f"The {preset.stem} preset on texts of one's own: `scalelab use` set corpus, validation and grids."
    )
    corpus = tree["corpus"]
    for field in ("packages", "validation_groups", "max_bytes_per_package"):
        corpus.pop(field, None)
    corpus["source"] = own.corpus.source
    corpus["paths"] = CommentedSeq(own.corpus.paths)
    corpus["text_field"] = own.corpus.text_field
    corpus["validation_share"] = own.corpus.validation_share
    if own.corpus.passage_bytes is not None:
        corpus["passage_bytes"] = own.corpus.passage_bytes
    tree["validation"]["documents"] = own.validation.documents
    for name, grid in own.grids.items():
        if grid.how in ("whole", "not at all"):
            continue
        blocks = tree["suites"][name]["grid"]
        for index, block in reversed(list(enumerate(grid.blocks))):
            if block is None:
                del blocks[index]
            else:
                _set_counts(blocks[index], block.tokens, block.unique_tokens)
    written = io.StringIO()
    yaml.dump(tree, written)
    return written.getvalue()


def _set_counts(block: Any, tokens: tuple[int, ...], unique_tokens: int | None) -> None:
    counts = CommentedSeq(tokens)
    counts.fa.set_flow_style()
    block["tokens"] = counts
    if unique_tokens is not None:
        block["unique_tokens"] = unique_tokens


def _preset(name: str) -> Path:
    known = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    if name not in known:
        raise ValueError(f"preset {name!r} is not known: choose one of {', '.join(known)}")
    if not PIPELINE.exists():
        raise ValueError(f"{PIPELINE} is not in {Path.cwd()}: run `scalelab use` at the root of a checkout")
    chosen = PRESETS / f"{name}.yaml"
    load(chosen)
    return chosen


def _write(text: str, what: str) -> str:
    """Puts the text in params.yaml's place, which is kept where it is no preset; the line to print."""
    kept = ""
    if PARAMS.exists() and PARAMS.read_text() not in {text, *(path.read_text() for path in PRESETS.glob("*.yaml"))}:
        kept = f"; what it said before is in {_keep(PARAMS)}"
    _replace(PARAMS, text)
    return f"{PARAMS} is now {what}{kept}"


def _replace(path: Path, text: str) -> None:
    """Writes the file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _keep(path: Path) -> Path:
    """Copies the file to the first of .bak, .bak.1, .bak.2, ... that is free or says the same; returns that."""
    names = (path.with_name(f"{path.name}.bak" + (f".{number}" if number else "")) for number in itertools.count())
    kept = next(name for name in names if not name.exists() or name.read_bytes() == path.read_bytes())
    kept.write_bytes(path.read_bytes())
    return kept
