"""Whether results are of the runs that params.yaml asks for: status and report say the same of them."""

import json
import shutil

import pytest

from experiments.law import LAW, OTHER_RUNS, POINTS
from experiments.points import write_points
from experiments.project import Project
from experiments.report import notices
from experiments.standing import UNTOLD, Sweeps, standings
from tests.conftest import Workplace


@pytest.fixture
def fitted(trained: Workplace, workplace: Workplace, root, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """The trained project with the table of its runs, and a law of it."""
    monkeypatch.chdir(workplace.path)
    workplace.copy_runs(trained)
    write_points(Project.here(), "law", POINTS)
    shutil.copy(root / LAW, LAW)
    return workplace


def test_status_and_report_agree_on_what_results_are_of(fitted: Workplace, newcomer, monkeypatch) -> None:
    def both() -> tuple[str, str]:
        told = newcomer.result("status")["results"]
        assert told["saturation"] == "missing"
        project = Project.here()
        return told["law"], notices(standings(project, Sweeps.of(project))).get("law", "")

    monkeypatch.chdir(fitted.path)
    assert both() == ("current", "")
    fitted.set("suites.law.training.learning_rate", 0.02)
    assert both() == ("of other runs", OTHER_RUNS)
    (fitted.path / "data" / "corpus").unlink()
    assert both() == (
        "unknown",
        f"law.json: {UNTOLD}: the data that they are compared by are not here: dvc repro makes them",
    )


@pytest.mark.parametrize("params", [{"E": 1.5, "k": 0.1}, {"A": 2.0}])
def test_status_says_a_law_of_any_form(fitted: Workplace, newcomer, monkeypatch, params: dict[str, float]) -> None:
    monkeypatch.chdir(fitted.path)
    law = json.loads(LAW.read_text()) | {"law": "other", "formula": "E + k/N", "params": params, "heldout": None}
    LAW.write_text(json.dumps(law))
    code, out, err = newcomer.scalelab("status")
    assert (code, err) == (0, "")
    assert "L = E + k/N: " + ", ".join(f"{name} = {value}" for name, value in params.items()).replace("2.0", "2") in out
