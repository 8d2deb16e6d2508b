"""Golden losses: a few tiny cells trained as every cell is, whose numbers are the same as long as nothing changes them.

The text is that of an installed package that requirements.lock pins, so that no commit of ours changes it; the
documents with a loss mask are made here, of answers that differ in length, so that it matters what a loss is averaged
over.
"""

import hashlib
import json
import math
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from analysis.regression import relative_difference
from experiments.check.row import REMEDY, Row, missing_rows
from sweeps import store
from sweeps.grid import Cell, Training
from sweeps.train_job import CellJob

PACKAGE = "rich"
VOCAB_SIZE = 260
NUM_DOCUMENTS, HELD_DOCUMENTS = 2000, 64
TRAINING = Training(sequence_length=64, batch_tokens=512, learning_rate=0.003, warmup_steps=25, compile=False)
STEPS = (50, 60)
# Two seeds of either layout; a depth at which branches of the residual stream are scaled; tokens seen again and again.
CELLS = (
    Cell("text", "decoder", 32, 0, STEPS),
    Cell("text", "decoder", 32, 1, STEPS),
    Cell("text", "decoder", 16, 0, STEPS, layers=6),
    Cell("text", "decoder", 16, 0, STEPS, unique_tokens=16_384),
    Cell("documents", "decoder", 16, 0, STEPS),
    Cell("documents", "decoder", 16, 1, STEPS),
)
LINE = ("loss", "gradient_norm", "learning_rate")
# Elsewhere than where the baseline was measured, sums are taken in another order, and training drifts apart, in later
# steps quickly: hence so few steps. By ATEN_CPU_CAPABILITY default and avx2 and oneDNN's SSE41 against AVX512, losses
# moved by 1e-6 at most and gradient norms by 3e-5; a learning rate off by 2% moves the losses by 3e-3 and more.
TOLERANCE = {"validation": 1e-5, "loss": 1e-5, "gradient_norm": 3e-4, "learning_rate": 1e-9}


def package_files() -> list[Path]:
    """The source files of the package, by name."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ValueError(f"the package {PACKAGE} is not installed: `make test` installs requirements.lock")
    return sorted(Path(spec.origin).parent.glob("*.py"))


def text_digest() -> str:
    """Of the text itself, before any code of ours has read it."""
    digest = hashlib.sha256()
    for path in package_files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def build_text(folder: Path, out: Path) -> dict[str, Any]:
    """The token store of running text, a document a source file; its manifest."""
    from sweeps.corpus import CorpusParams, ValidationParams
    from sweeps.corpus.build import build_corpus

    source = folder / "text.jsonl"
    source.write_text("".join(json.dumps({"text": path.read_text()}) + "\n" for path in package_files()))
    params = CorpusParams(source="files", paths=(source.as_posix(),), validation_share=0.25)
    return build_corpus(params, VOCAB_SIZE, ValidationParams(documents=8, document_bytes=500), out)


def documents(first: int, count: int) -> Iterator[dict[str, Any]]:
    """Numbers to be written in base two: answers of one to sixteen digits."""
    for index in range(first, first + count):
        number = (index * 7919 % 65_536) >> (index % 13)
        text = f"{number}={number:b}."
        yield {"text": text, "loss_spans": [[text.index("=") + 1, len(text)]]}


def build_documents(folder: Path, tokenizer: Path, out: Path) -> dict[str, Any]:
    """The token store of documents with a loss mask; its manifest."""
    from sweeps.corpus import documents as built

    train, held = folder / "train.jsonl", folder / "held.jsonl"
    parts = {held: documents(0, HELD_DOCUMENTS), train: documents(HELD_DOCUMENTS, NUM_DOCUMENTS)}
    for path, part in parts.items():
        path.write_text("".join(json.dumps(one) + "\n" for one in part))
    return built.build_documents(train, held, tokenizer, {}, out)


def measure() -> dict[str, Any]:
    """Digests of the data and the numbers of every cell; a few seconds."""
    from sweeps.train import train_cell

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifests = {"text": build_text(folder, folder / "text")}
        manifests["documents"] = build_documents(folder, folder / "text" / "tokenizer", folder / "documents")
        cells = {}
        for cell in CELLS:
            manifest = manifests[cell.suite]
            data, held = manifest["digest"], manifest["validation_digest"]
            recipe = store.Recipe(TRAINING, manifest["vocab_size"], data, held, "cpu", "")
            job = CellJob(cell, recipe, folder / cell.suite, folder / "runs", "")
            train_cell(job)
            cells[f"{cell.suite}/{cell.name}"] = numbers_of(job)
    tokens = {name: f"{one['digest'][:16]} {one['validation_digest'][:16]}" for name, one in manifests.items()}
    return {"text": text_digest(), "tokens": tokens, "cells": cells}


def numbers_of(job: CellJob) -> dict[str, Any]:
    """The validation loss of each branch, None of one that diverged, and every line of metrics.jsonl by stream."""
    branches = store.read_records(job.runs, job.cell.suite)
    own = {record["branch"]: record["loss"] for record in branches if record["cell"] == job.cell.name}
    streams = {name: store.read_metrics(job.directory / name) for name in (store.TRUNK, *own)}
    curves = {name: [[line[part] for part in ("step", *LINE)] for line in lines] for name, lines in streams.items()}
    return {"validation": own, "curves": curves}


def compare(kept: dict[str, Any], now: dict[str, Any], exactly: bool) -> list[Row]:
    """A row for the text, one a store of tokens, and for every cell one a branch and one a column of its curves.

    exactly: the baseline was measured on such a processor, with such libraries and as many threads.
    """
    if kept["text"] != now["text"]:
        why = f"the installed {PACKAGE} has another text than the baseline's: install requirements.lock, or {REMEDY}"
        return [Row("golden", "data/package", kept["text"], now["text"], "incomparable", why)]
    rows = [Row("golden", "data/package", kept["text"], now["text"], "same", "digest")]
    rows += missing_rows("golden", *([f"data/{name}" for name in one["tokens"]] for one in (kept, now)))
    for name in (name for name in kept["tokens"] if name in now["tokens"]):
        digest, there = kept["tokens"][name], now["tokens"][name]
        verdict = "same" if digest == there else "changed"
        why = "digest" if digest == there else f"the same text gives other tokens: {REMEDY}"
        rows.append(Row("golden", f"data/{name}", digest, there, verdict, why))
    rows += missing_rows("golden", kept["cells"], now["cells"])
    for name in (name for name in kept["cells"] if name in now["cells"]):
        rows += compare_cell(name, kept["cells"][name], now["cells"][name], exactly)
    return rows


def compare_cell(name: str, kept: dict[str, Any], now: dict[str, Any], exactly: bool) -> list[Row]:
    """A row a branch and a row a column of the curves: where this moved most."""
    rows = missing_rows("golden", *([f"{name}/{branch}" for branch in one["validation"]] for one in (kept, now)))
    rows += [
        judge(f"{name}/{branch}", "validation", [("end", kept["validation"][branch], loss)], exactly)
        for branch, loss in now["validation"].items()
        if branch in kept["validation"]
    ]
    before, present = by_step(kept["curves"]), by_step(now["curves"])
    if any(len(before[where]) != len(present[where]) for where in before if where in present):
        reason = f"a line of the baseline's curves has other columns: {REMEDY}"
        return [*rows, Row("golden", f"{name}/curves", None, None, "incomparable", reason)]
    for place, column in enumerate(LINE):
        points = [
            (
                where,
                before[where][place] if where in before else None,
                present[where][place] if where in present else None,
            )
            for where in before | present
        ]
        rows.append(judge(f"{name}/{column}", column, points, exactly))
    return rows


def by_step(curves: dict[str, list[list[float]]]) -> dict[str, list[float]]:
    """The numbers of every line, by its stream and step."""
    return {f"{stream} step {line[0]}": line[1:] for stream, lines in curves.items() for line in lines}


def judge(name: str, column: str, points: list[tuple[str, float | None, float | None]], exactly: bool) -> Row:
    """The row of some points (where, baseline's, present); a loss that rose is a regression, another number changed."""

    def moved(point: tuple[str, float | None, float | None]) -> float:
        _, was, now = point
        return (0.0 if was == now else math.inf) if was is None or now is None else relative_difference(was, now)

    where, was, now = worst = max(points, key=moved)
    allowed = 0.0 if exactly else TOLERANCE[column]
    if moved(worst) <= allowed:
        return Row("golden", name, was, now, "same", "exact" if exactly else f"within {allowed:g} of it")
    rose = column in ("validation", "loss") and (now is None or (was is not None and now > was))
    how = "diverged" if now is None else f"moved by {moved(worst):.1e} at {where}, {allowed:g} is allowed"
    return Row("golden", name, was, now, "regressed" if rose else "changed", f"{how}: {REMEDY}")
