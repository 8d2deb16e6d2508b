"""Item files as lm-eval reads them: in memory, with nothing written to a cache."""

import json
from pathlib import Path
from typing import Any

ITEMS = Path("data/abilities/items")


class Rows(list[dict[str, Any]]):
    """The lines of an item file, with as much of a `datasets.Dataset` as lm-eval asks of a split.

    lm-eval goes over a split several times a checkpoint; a Dataset would decode every row anew each time.
    """

    @property
    def features(self) -> dict[str, Any]:
        """The names of the fields, as keys."""
        return dict.fromkeys(self[0])


def load(file: str, shots: bool = True, items: str = str(ITEMS), **_: object) -> dict[str, Rows]:
    """The splits of a task: `items` from <file>.jsonl and, with `shots`, `shots` from <file>.shots.jsonl.

    `items` is the folder; `--metadata '{"items": "elsewhere"}'` of the command line changes it. What else lm-eval knows
    of a task comes along and is not used. Raises FileNotFoundError in one line where a file is not there.
    """
    splits = {"items": f"{file}.jsonl"} | ({"shots": f"{file}.shots.jsonl"} if shots else {})
    return {split: _read(Path(items) / name) for split, name in splits.items()}


def _read(path: Path) -> Rows:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: write the items first")
    return Rows(json.loads(line) for line in path.read_text().splitlines())
