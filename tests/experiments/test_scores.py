"""The project's own emergence results as report and status find them."""

import json
from pathlib import Path

import pytest

from analysis.points import file_digest
from experiments.scores import EMERGENCE, OTHER_RUNS, SCORES, read_emergence, report_sections, status_lines
from experiments.status import print_status, read_status
from tests.analysis.emergence_runs import emergence_runs

ROW = {
    "metric": "exact_match", "chance": 0.1, "threshold": None, "threshold_ci95": None, "width_decades": None,
    "width_ci95": None, "amplitude": 0.01, "bimodality_p": None, "curve": None, "axes": {}, "diagnostics": [],
}  # fmt: skip
RISEN = {"threshold": 4e10, "threshold_ci95": [3e10, None], "width_decades": 0.2, "width_ci95": [0.1, 0.3]}


def write_results(folder: Path) -> None:
    """A table, and labels that say of three tasks what no detector said."""
    (folder / "results").mkdir(exist_ok=True)
    emergence_runs().to_csv(folder / SCORES, index=False)
    rows = [
        ROW | RISEN | {"task": "scalelab_induction_direct", "label": "emergent"},
        ROW | {"task": "scalelab_parity_direct", "label": "flat"},
        ROW | {"task": "scalelab_parity_steps", "label": "undetermined"},
        ROW | RISEN | {"task": "scalelab_parity_steps_generate", "label": "emergent", "diagnostics": ["look twice"]},
    ]
    inputs = {SCORES.name: file_digest(folder / SCORES)}
    (folder / EMERGENCE).write_text(json.dumps({"rows": rows, "training_time": [], "inputs": inputs}))


def test_results_are_read_where_they_belong_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_emergence() is None
    assert report_sections() == []
    write_results(tmp_path)
    found = read_emergence()
    assert found is not None
    assert len(found[0]) == len(emergence_runs())
    labels = report_sections()[0]
    assert [row[:2] for row in labels.rows] == [
        ["induction direct", "emergent"], ["parity direct", "flat"], ["parity steps", "emergent"],
    ]  # fmt: skip
    with SCORES.open("a") as table:
        table.write("\n")
    with pytest.raises(ValueError, match="was made from another"):
        read_emergence()


def test_status_has_a_line_an_ability_and_says_what_is_stale(
    workplace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace.path)
    write_results(workplace.path)
    print_status(read_status())
    said = capsys.readouterr().out
    assert OTHER_RUNS in said
    lines = status_lines(json.loads(EMERGENCE.read_text()))
    assert lines == [
        "emergence by exact match: 2 emergent, 1 flat",
        "induction direct: emergent, threshold 40G (30G or more) FLOPs, width 0.20 (0.10 to 0.30) decades",
        "parity direct: flat",
        "parity steps: emergent, threshold 40G (30G or more) FLOPs, width 0.20 (0.10 to 0.30) decades (look twice)",
    ]
    assert "\n".join(lines) in said
