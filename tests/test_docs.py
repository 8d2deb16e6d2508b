"""Pages beside the README: what they draw and name is there."""

import re
import subprocess
from pathlib import Path

import pytest


def test_the_pipelines_drawing_is_the_pipeline(root: Path) -> None:
    page = (root / "docs/pipeline.md").read_text()
    (drawing,) = re.findall(r"```mermaid\nflowchart LR\n(.*?)```", page, re.DOTALL)
    lines = [line.strip() for line in drawing.splitlines()]
    arrows = [tuple(line.split(" --> ")) for line in lines if "-->" in line]
    stages = [line for line in lines if re.fullmatch(r"[a-z-]+", line) and line != "end"]
    done = subprocess.run(["dvc", "dag", "--mermaid"], cwd=root, capture_output=True, text=True, check=True)
    names = dict(re.findall(r'(node\d+)\["(.+?)"\]', done.stdout))
    drawn = [(names[source], names[target]) for source, target in re.findall(r"(node\d+)-->(node\d+)", done.stdout)]
    assert sorted(stages) == sorted(names.values())
    assert sorted(arrows) == sorted(drawn)


@pytest.mark.parametrize("name", ["dvc", "recovery", "pipeline"])
def test_links_lead_somewhere(root: Path, name: str) -> None:
    page = root / "docs" / f"{name}.md"
    for target, _, anchor in (link.partition("#") for link in re.findall(r"\]\(([^)]+)\)", page.read_text())):
        other = page.parent / target if target else page
        headings = re.findall(r"^#+ (.+)$", other.read_text(), re.MULTILINE)
        assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings]
