"""`scalelab report --against`: the committed results beside changed ones, in a folder and in a revision."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browsing import complaints_of, see_all

COMMAND = re.compile(r"^scalelab report .+$", re.MULTILINE)
IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@localhost")


@pytest.fixture
def changed(newcomer, root: Path) -> Path:
    """The newcomer's directory has the committed results; in the folder `other` an ability's label, a parameter and a
    speed are others, and long contexts are missing."""
    shutil.copy(root / "params.yaml", newcomer.path)
    for folder in (newcomer.path / "results", newcomer.path / "other" / "results"):
        folder.mkdir(parents=True)
        for path in (root / "results").iterdir():
            if path.suffix in (".json", ".csv"):
                shutil.copy(path, folder)
    other = newcomer.path / "other"
    text = (root / "params.yaml").read_text()
    assert "warmup_steps: 50" in text
    (other / "params.yaml").write_text(text.replace("warmup_steps: 50", "warmup_steps: 51"))
    (other / "results/longcontext.json").unlink()

    def rewrite(name: str, change: Callable[[dict[str, Any]], None]) -> None:
        path = other / "results" / name
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    rewrite("law.json", lambda law: law.update(moved_law(law)))
    rewrite("emergence.json", lambda found: found["rows"][0].update(label="flat"))
    rewrite("inference.json", lambda found: found["rows"][0].update(ratio=90.0, ci95=[80.0, 100.0]))
    return other


def moved_law(law: dict[str, Any]) -> dict[str, Any]:
    """The law with an irreducible loss three nats higher, in all its draws too (their third number is ln E)."""
    draws = [row.split() for row in law["draws"]]
    draws = [" ".join([*row[:2], str(1.4 + 0.01 * float(row[2])), *row[3:]]) for row in draws]
    return {"params": {**law["params"], "E": law["params"]["E"] + 3}, "draws": draws}


def test_a_folder_is_compared(newcomer, changed: Path, page: Page) -> None:
    found = newcomer.result("report", "--against", "other", "--out", "page.html")
    assert [row["name"] for row in found["law"]["rows"] if row["moved"]] == ["E"]
    assert found["law"]["judged_by"] == "draws"
    assert found["emergence"]["labels"] == [{"name": "induction direct", "here": "emergent", "there": "flat"}]
    assert len([row for row in found["inference"]["rows"] if row["moved"]]) == 1
    assert not any(row["moved"] for row in found["saturation"]["rows"])
    assert found["longcontext"] == {"missing": ["other"]}
    assert {row["name"].rpartition(".")[2] for row in found["params"]} == {"warmup_steps"}
    complaints = complaints_of(page)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto((newcomer.path / "page.html").as_uri(), wait_until="load")
    assert see_all(page) == 5
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for said in ("other has no results of it.", "induction direct (emergent, now flat)", "E, irreducible loss"):
        assert page.get_by_text(said).count() > 0, said
    assert complaints == []


def test_a_revision_is_compared_as_a_folder_is(newcomer, changed: Path, root: Path) -> None:
    code, said, _ = newcomer.scalelab("report", "--against", "other", "--dry-run")
    assert code == 0
    assert "law: 1 of 7 numbers moved. Moved beyond their intervals: E." in said
    assert "comparison:" not in said
    assert not (newcomer.path / "results/comparison.html").exists()
    for arguments in (["init", "-q"], ["add", "-A"], [*IDENTITY, "commit", "-qm", "other"], ["tag", "sweep"]):
        subprocess.run(["git", *arguments], cwd=changed, check=True)
    shutil.copytree(changed / ".git", newcomer.path / ".git")
    by_folder, by_revision = (newcomer.result("report", "--against", what) for what in ("other", "sweep"))
    assert json.dumps(by_revision).replace('"sweep"', '"other"') == json.dumps(by_folder)
    assert (newcomer.path / "results/comparison.html").exists()
    commands = COMMAND.findall((root / "docs/comparing.md").read_text())
    assert len(commands) == 3
    for command in commands:
        words = command.replace("REVISION", "sweep").replace("../other-sweep", "other").split()
        assert newcomer.scalelab(*words[1:])[0] == 0, command


def test_what_cannot_be_compared_is_refused_in_a_line(newcomer, changed: Path) -> None:
    assert "--against nothing is no folder and no git revision: name a folder" in newcomer.refusal(
        "report", "--against", "nothing"
    )
    (newcomer.path / "empty").mkdir()
    assert "--against empty holds no results to compare" in newcomer.refusal("report", "--against", "empty")
    assert "name the other side with --against" in newcomer.refusal("report", "--out", "page.html")
    assert "--out results cannot be written" in newcomer.refusal("report", "--against", "other", "--out", "results")
    (changed / "results/law.json").write_text('{"inputs": {}}')
    assert "was fitted to another" in newcomer.refusal("report", "--against", "other")
    (changed / "results/law.json").write_text("{}")
    assert "was fitted to another" in newcomer.refusal("report", "--against", "other")
    (changed / "results/inference.json").write_text("{}")
    (changed / "results/law.json").unlink()
    assert "inference.json holds no rows" in newcomer.refusal("report", "--against", "other")
    (changed / "results/law.json").write_text("no json")
    assert "law.json" in newcomer.refusal("report", "--against", "other")
    shutil.rmtree(newcomer.path / "results")
    assert "results holds no results to compare: run `dvc repro law`" in newcomer.refusal(
        "report", "--against", "other"
    )
