"""Each question's answer in a few numbers: what `dvc metrics` and `dvc exp show` compare between runs."""

from collections import Counter
from collections.abc import Callable
from statistics import mean
from typing import Any

from experiments.project import RESULTS
from experiments.scores import ANSWERS
from sweeps import store

METRICS = RESULTS / "metrics"
LABELS = ("emergent", "smooth", "mirage", "saturated", "flat", "undetermined")
Headline = dict[str, float | int | None]


def write_headline(question: str, found: dict[str, Any]) -> None:
    """Writes results/metrics/<question>.json from what the question's own file says."""
    store.write_json(METRICS / f"{question}.json", HEADLINES[question](found))


def of_law(found: dict[str, Any]) -> Headline:
    """The law's exponents, its floor, and its error on the models held out."""
    heldout = found["heldout"] or {}
    return {
        "runs": found["num_points"],
        **{name: found["params"].get(name) for name in ("E", "alpha", "beta")},
        "best_size_exponent": (found["exponents"] or {}).get("a"),
        "heldout_error": heldout.get("mean_abs_rel_error"),
        "heldout_inside": heldout.get("num_inside"),
        "heldout_runs": heldout.get("num_runs"),
    }


def of_saturation(found: dict[str, Any]) -> Headline:
    """Tokens at which each size's elasticity falls below the first eps."""
    told: Headline = {}
    for size in found["sizes"]:
        repeated = "" if size["data"] == "fresh" else f"_{size['unique_tokens']:.0f}"
        told[f"tokens_{size['params']:.0f}_{size['data']}{repeated}"] = size["d_sat"][0]["tokens"]
    return told


def of_emergence(found: dict[str, Any]) -> Headline:
    """How many abilities carry each label by exact match of their answers, and the FLOPs at which they rise."""
    rows = [row for row in found["rows"] if row["metric"] == "exact_match" and row["task"].endswith(ANSWERS)]
    labels = Counter(row["label"] for row in rows)
    thresholds = {
        f"threshold_{row['task'].removeprefix('scalelab_').removesuffix('_generate')}": row["threshold"]
        for row in rows
        if row["threshold"] is not None
    }
    return {f"num_{label}": labels[label] for label in LABELS} | thresholds


def of_inference(found: dict[str, Any]) -> Headline:
    """How many times faster each technique is on the largest model that it was measured on, where its check passed."""
    rows = [row for row in found["rows"] if row["status"] == "ok"]
    gains: Headline = {}
    for name in dict.fromkeys(row["technique"] for row in rows):
        gains[f"gain_{name}"] = max((row for row in rows if row["technique"] == name), key=lambda r: r["params"])[
            "ratio"
        ]
    best = max((row["ratio"] for row in rows), default=None)
    return {"rows": len(found["rows"]), "rows_ok": len(rows), "best_gain": best, **gains}


def of_longcontext(found: dict[str, Any]) -> Headline:
    """Mean accuracy of each way to answer, over the tasks of each length."""
    cells: dict[str, list[float]] = {}
    for row in sorted(found["rows"], key=lambda row: (row["length_windows"], row["arm"])):
        profile = "_open" if row["profile"] == "open" else ""
        cells.setdefault(f"{row['arm']}{profile}_at_{row['length_windows']}", []).append(row["accuracy"])
    return {name: mean(accuracies) for name, accuracies in cells.items()}


HEADLINES: dict[str, Callable[[dict[str, Any]], Headline]] = {
    "law": of_law,
    "saturation": of_saturation,
    "emergence": of_emergence,
    "inference": of_inference,
    "longcontext": of_longcontext,
}
