"""`scalelab use`: whole params files that answer the same questions at another cost."""

import itertools
import shutil
from pathlib import Path

from experiments.params import load
from experiments.project import PARAMS

PRESETS = Path(__file__).parent / "presets"
PIPELINE = Path("dvc.yaml")


def put_in_place(name: str) -> str:
    """Copies a preset over params.yaml and says so; raises ValueError for a name that is no preset.

    A params.yaml that is no preset is kept beside it, and what was kept before stays as it is.
    """
    known = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    if name not in known:
        raise ValueError(f"preset {name!r} is not known: choose one of {', '.join(known)}")
    if not PIPELINE.exists():
        raise ValueError(f"{PIPELINE} is not in {Path.cwd()}: run `scalelab use` at the root of a checkout")
    chosen = PRESETS / f"{name}.yaml"
    load(chosen)
    kept = ""
    if PARAMS.exists() and PARAMS.read_text() not in {path.read_text() for path in PRESETS.glob("*.yaml")}:
        kept = f"; what it said before is in {_keep(PARAMS)}"
    shutil.copy(chosen, PARAMS)
    return f"{PARAMS} is now the {name} preset{kept}"


def _keep(path: Path) -> Path:
    """Copies the file to the first of .bak, .bak.1, .bak.2, ... that is free or says the same; returns that."""
    names = (path.with_name(f"{path.name}.bak" + (f".{number}" if number else "")) for number in itertools.count())
    kept = next(name for name in names if not name.exists() or name.read_bytes() == path.read_bytes())
    shutil.copy(path, kept)
    return kept
