"""Run by path in the peer's own environment, where nothing is ours: one fit by PyPI's chinchilla.

Standard input: {"params", "tokens", "loss"} as lists, "delta", and "directory", an empty folder. Standard output ends
in one line of JSON: parameters, starts and CPU-seconds of the fit, imports and plots left out.
"""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

# The README's grid of starts, five values each.
ENDS = {"E": (1, 2), "a": (1, 10), "b": (1, 10), "alpha": (0.1, 0.7), "beta": (0.1, 0.7)}
VALUES = 5


def starts() -> dict[str, list[float]]:
    """The grid by parameter."""
    return {
        name: [low + (high - low) * place / (VALUES - 1) for place in range(VALUES)]
        for name, (low, high) in ENDS.items()
    }


def fit(points: dict[str, Any]) -> dict[str, Any]:
    """One fit on one process, with the log-Huber loss that the package has for it."""
    chinchilla, metrics = importlib.import_module("chinchilla"), importlib.import_module("chinchilla._metrics")
    rows = zip(points["params"], points["tokens"], points["loss"], strict=True)
    lines = ["C,N,D,loss", *(f"{6 * n * d!r},{n!r},{d!r},{loss!r}" for n, d, loss in rows)]
    (Path(points["directory"]) / "df.csv").write_text("\n".join(lines) + "\n")

    def loss(measured: Any, predicted: Any) -> Any:
        return metrics.log_huber(measured, predicted, points["delta"])

    grid = starts()
    began = time.process_time()
    fitted = chinchilla.Chinchilla(points["directory"], param_grid=grid, loss_fn=loss, log_level=50)
    fitted.visualizer.optim = lambda *_, **__: None
    fitted.fit(parallel=False)
    seconds = time.process_time() - began
    return {"params": fitted.params, "starts": VALUES ** len(grid), "cpu_seconds": seconds}


if __name__ == "__main__":
    print("\n" + json.dumps(fit(json.load(sys.stdin))))
