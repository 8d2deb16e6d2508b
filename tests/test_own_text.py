"""docs/own-data.md, command by command, on small texts: from a clone to the law of one's own texts on a page."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.checkout import Checkout
from tests.pages import commands, own_texts

# It trains the smoke preset's law, which takes minutes where other work takes the cores.
pytestmark = pytest.mark.timeout(600)

PAGE = "docs/own-data.md"
# A copy of the checkout, and the environment that the tests run in, stand for these.
STOOD_FOR = ("git clone", "make install", "source ")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Checkout:
    """A copy, and a home with texts: files of text, deeper ones, rows, and a picture."""
    home = tmp_path_factory.mktemp("home")
    (home / "texts" / "deep").mkdir(parents=True)
    for source in (root / "analysis").glob("*.py"):
        (home / "texts" / f"{source.stem}.txt").write_text(source.read_text())
    for page in (root / "docs").glob("*.md"):
        (home / "texts" / "deep" / page.name).write_text(page.read_text())
    lines = [json.dumps({"text": source.read_text()}) for source in (root / "sweeps").glob("*.py")]
    (home / "texts" / "code.jsonl").write_text("\n".join(lines) + "\n")
    (home / "texts" / "picture.png").write_bytes((root / "docs/rates.png").read_bytes())
    made = Checkout(tmp_path_factory.mktemp("checkout"), root)
    made.env["HOME"] = str(home)
    (made.path / ".venv").mkdir()
    (made.path / ".venv" / ".installed").touch()
    return made


@pytest.fixture(scope="module")
def said(checkout: Checkout) -> dict[str, str]:
    """What the page's commands printed, in order; the first five are also README's."""
    shown = [command for command in commands(checkout.path / PAGE) if not command.startswith(STOOD_FOR)]
    return {command: checkout.run("bash", "-c", command.replace("laptop", "smoke")) for command in shown}


def test_readme_shows_the_same_five_commands(root: Path) -> None:
    five = [command for command in commands(root / "README.md") if own_texts(command)]
    assert len(five) == 5
    assert commands(root / PAGE)[:5] == five


def test_the_texts_are_found_and_told(checkout: Checkout, said: dict[str, str]) -> None:
    told = said["scalelab use laptop ~/texts"]
    num_txt, num_md = (len(list((Path(checkout.env["HOME"]) / "texts").rglob(f"*.{kind}"))) for kind in ("txt", "md"))
    kinds = re.search(r"^texts: [\d,]+ documents, \d+ kB, in \d+ files \((.*)\)", told, re.MULTILINE)
    assert kinds is not None
    assert set(kinds[1].split(", ")) == {f"{num_txt} .txt", f"{num_md} .md", "1 .jsonl"}
    assert "files of other kinds are left out: 1 .png" in told
    assert "law: sizes 8 to 64 on 32,768 to 131,072 tokens" in told


def test_the_law_is_of_these_texts(checkout: Checkout, said: dict[str, str]) -> None:
    law, manifest = checkout.law(), json.loads((checkout.path / "data/corpus/manifest.json").read_text())
    assert law["num_points"] == 30
    copies = re.search(r"duplicates removed: (\d+) exact and (\d+) near$", said["make law"], re.MULTILINE)
    assert copies is not None
    assert [int(copies[1]), int(copies[2])] == [manifest["duplicates"][kind] for kind in ("exact", "near")]
    assert manifest["source"] == "files"
    assert {Path(row["name"]).suffix for row in manifest["groups"]} == {".txt", ".md", ".jsonl"}
    assert manifest["digest"][:16] in (checkout.path / "results/report.html").read_text()
    record = json.loads((checkout.path / "runs/law/w0008-s0/t32768/record.json").read_text())
    assert record["data_digest"] == manifest["digest"]
    (report,) = (line for line in said["make law"].splitlines() if line.startswith("report: "))
    assert report.startswith(f"report: {checkout.path / 'results/report.html'}")
    assert "the law is of other runs" not in report
    assert "saturation.json is of other runs" in report  # the committed ones, of another corpus
    assert "30 points in 10 cells; to train: 0" in said["scalelab plan"]


def test_what_was_set_stays_a_readable_params_file(checkout: Checkout, said: dict[str, str]) -> None:
    text = (checkout.path / "params.yaml").read_text()
    assert text.startswith("# The smoke preset on texts of one's own")
    assert "# A row is a lesson: short rows, and many steps, are what reading waits for.\n" in text
    smoke = yaml.safe_load((checkout.path / "experiments/presets/smoke.yaml").read_text())
    params = yaml.safe_load(text)
    assert {key for key in smoke if params[key] != smoke[key]} <= {"corpus", "validation"}


def test_texts_that_change_are_noticed(checkout: Checkout, said: dict[str, str]) -> None:
    with (Path(checkout.env["HOME"]) / "texts" / "laws.txt").open("w") as file:
        file.write("one more document\n" * 9)
    refused = subprocess.run(
        ["scalelab", "train", "--dry-run"], cwd=checkout.path, env=checkout.env, capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert refused.stderr.endswith("the texts changed since data/corpus was built: run `dvc repro -f corpus`\n")
    checkout.run("dvc", "repro", "-f", "corpus")
    assert "30 branches in 10 cells: 30 stale" in checkout.run("scalelab", "train", "--dry-run")
