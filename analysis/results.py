"""What notebooks read: files of the checkout around them. One that is not there is a line that says what to run."""

from datetime import datetime
from pathlib import Path

import pandas as pd


class Missing(ValueError):
    """A file that is not there yet. A notebook shows the line alone, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: the lines to show in the place of a traceback."""
        return [str(self)]


def root(start: Path | None = None) -> Path:
    """The checkout around a folder, the working directory unless said; raises Missing outside of one."""
    here = start or Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "params.yaml").is_file():
            return folder
    raise Missing(f"{here} is in no checkout (no params.yaml there or above): open JupyterLab with `make lab`")


def need(*names: str, run: str) -> list[Path]:
    """These files of the checkout; raises Missing with the command that makes them where one is not there."""
    paths = [root() / name for name in names]
    for name, path in zip(names, paths, strict=True):
        if not path.is_file():
            raise Missing(f"{name} is not there: run `{run}` in {root()}, then this notebook again")
    return paths


WRITTEN = {
    "scaling": (("points.csv", "law.json"), "dvc repro law"),
    "saturation": (("saturation_points.csv", "saturation.json"), "dvc repro saturation"),
    "emergence": (("emergence_scores.csv", "emergence.json"), "dvc repro emergence"),
    "inference": (("inference.json",), "dvc repro inference"),
    "longcontext": (("longcontext.json",), "dvc repro longcontext"),
}


def overview() -> pd.DataFrame:
    """A row a notebook: the results it reads, whether all are there, when the last was written, what makes them."""
    rows = []
    for notebook, (names, run) in WRITTEN.items():
        paths = [root() / "results" / name for name in names]
        there = all(path.is_file() for path in paths)
        written = max(path.stat().st_mtime for path in paths) if there else None
        when = f"{datetime.fromtimestamp(written):%Y-%m-%d %H:%M}" if written else "not there"
        rows.append({"notebook": notebook, "reads": ", ".join(names), "written": when, "made by": run})
    return pd.DataFrame(rows).set_index("notebook")
