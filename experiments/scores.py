"""The sweep's scores: records and evaluations to emergence_scores.csv, which emergence.json was made from."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.wording_emergence import counted, label_sentence
from experiments.evaluate import judgements, read_scores
from experiments.project import CODE_ROOT, RESULTS, Project
from sweeps import store

if TYPE_CHECKING:
    import pandas as pd

    from analysis.page import Section

SUITE = "emergence"
OTHER_RUNS = "emergence.json is of other runs than params.yaml asks for: dvc repro"
SCORES, EMERGENCE = RESULTS / "emergence_scores.csv", RESULTS / "emergence.json"
DETECTOR = CODE_ROOT / "experiments" / "archive" / "bench" / "emergence.json"
# What a proportion is checked against: the same answer's likelihood, which grows before the proportion shows it.
CONTINUOUS = {"exact_match": "logprob_per_char", "acc": "choice_logprob"}
DETECTED = tuple(CONTINUOUS)
ANSWERS = ("_direct", "_steps_generate")  # tasks that ask for the answer, at once or after steps


def collect_scores(project: Project) -> "pd.DataFrame":
    """One row a checkpoint, task and metric; raises ValueError where some are still to be trained or evaluated."""
    import pandas as pd

    judged = judgements(project, SUITE)
    missing = [str(judgement.checkpoint.parent) for judgement in judged if not judgement.is_done]
    if missing:
        raise ValueError(
            f"{len(missing)} checkpoints are not evaluated ({missing[0]}, ...): run `scalelab evaluate {SUITE}`"
        )
    if not judged:
        raise ValueError(f"no run of {SUITE} has a checkpoint: all diverged; lower its learning_rate")
    rows = []
    for judgement in judged:
        record = store.read_record(judgement.checkpoint.parent)
        assert record is not None
        rows += _rows(record, read_scores(judgement)["scores"])
    return pd.DataFrame(rows)


def _rows(record: dict[str, Any], scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A checkpoint's scores beside what it is; `continuous` is the task's own likelihood."""
    values = {(score["task"], score["metric"]): score["value"] for score in scores}

    def counterpart(score: dict[str, Any]) -> float | None:
        task = score["task"].removesuffix("_generate")
        return values.get((task, CONTINUOUS.get(score["metric"], "")))

    run = {
        "compute": record["flops"],
        "params": record["params_non_embedding"],
        "tokens": record["tokens"],
        "loss": record["loss"],
        "seed": record["seed"],
        "run": record["cell"],
        "fingerprint": record["fingerprint"],
    }
    return [{**score, **run, "continuous": counterpart(score)} for score in scores]


def write_scores(project: Project) -> "pd.DataFrame":
    """Writes the table of scores, whole or not at all, and returns it."""
    table = collect_scores(project)
    SCORES.parent.mkdir(exist_ok=True)
    partial = SCORES.with_suffix(".partial")
    table.to_csv(partial, index=False)
    partial.replace(SCORES)
    return table


def read_emergence(folder: Path = RESULTS) -> "tuple[pd.DataFrame, dict[str, Any]] | None":
    """The scores and their labels in a folder of results; None where the stage has not run.

    Raises ValueError if they do not belong together.
    """
    import pandas as pd

    from analysis.points import file_digest

    path, table = folder / EMERGENCE.name, folder / SCORES.name
    if not path.exists() or not table.exists():
        return None
    found = store.read_json(path)
    if found.get("inputs", {}).get(table.name) != file_digest(table):
        raise ValueError(f"{path} was made from another {table}: run `dvc repro emergence`")
    return pd.read_csv(table), found


def report_sections() -> "list[Section]":
    """What the report says of emergence, with the detector's own error rates where they were measured."""
    from analysis.pages_emergence import emergence_sections

    own = read_emergence()
    if own is None:
        return []
    return emergence_sections(*own, store.read_json(DETECTOR))


def status_lines(found: dict[str, Any]) -> list[str]:
    """Labels of exact match in a line each, under their count: of the answer, at once or after steps."""
    rows = [row for row in found["rows"] if row["metric"] == "exact_match" and row["task"].endswith(ANSWERS)]
    names = (row["task"].removeprefix("scalelab_").removesuffix("_generate").replace("_", " ") for row in rows)
    lines = [label_sentence(row, name) for row, name in zip(rows, names, strict=True)]
    return [f"emergence by exact match: {counted(row['label'] for row in rows)}", *lines]
