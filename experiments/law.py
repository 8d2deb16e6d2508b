"""The law stage: records to points.csv, points to law.json."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from analysis.params import FitParams
from experiments.points import write_points
from experiments.project import RESULTS, Project
from sweeps import store

if TYPE_CHECKING:
    import pandas as pd

SUITE = "law"
POINTS, LAW = RESULTS / "points.csv", RESULTS / "law.json"
OTHER_RUNS = "the law is of other runs than params.yaml asks for: dvc repro"


def fit_own(settings: FitParams) -> "tuple[pd.DataFrame, dict[str, Any]]":
    """Fits the project's own sweep, whose table it writes first; returns the runs and what law.json says."""
    from experiments.fits import fit_table

    write_points(Project.here(), SUITE, POINTS)
    return fit_table(str(POINTS), {}, settings, 0)


def print_law(law: dict[str, Any]) -> None:
    """The law with its intervals and the held-out check, on the screen."""
    table = Table("", "value", "95% interval")
    for name, value in law["params"].items():
        low, high = law["ci95"][name]
        table.add_row(name, f"{value:.4g}", f"{low:.4g} to {high:.4g}")
    for name, meaning in (("a", "best N ~ C^a"), ("b", "best D ~ C^b")):
        if law["exponents"]:
            low, high = law["exponents"][f"{name}_ci95"]
            table.add_row(meaning, f"{law['exponents'][name]:.3f}", f"{low:.3f} to {high:.3f}")
    console = Console(soft_wrap=True, highlight=False)
    console.print(
        f"L = {law['formula']} over {law['num_points']} runs of {law['num_sizes']} sizes ({law['estimator']})"
    )
    console.print(table)
    if law["num_dropped"]:
        console.print(f"{law['num_dropped']} runs are not in the law: their status is not done (diverged or failed)")
    for name, approach in law["approaches"].items():
        if "refused" not in approach:
            low, high = approach["exponents"]["a_ci95"]
            console.print(f"{name}: best N ~ C^{approach['exponents']['a']:.3f} ({low:.3f} to {high:.3f})")
    if law["selection"]:
        console.print(selection_table(law["selection"]))
    for finding in law["diagnostics"]:
        console.print(f"{finding['severity']}: {finding['name']}: {finding['message']}; {finding['remedy']}")
    if law["heldout"]:
        console.print(heldout_sentence(law["heldout"]))


def selection_table(rows: list[dict[str, Any]]) -> Table:
    """Laws, approaches and baselines by their error on held-out compute."""
    table = Table("on held-out compute", "mean error", "at the best run", "")
    for row in rows:
        mean, best = row["mean_abs_rel_error"], row["best_run_rel_error"]
        shown = ("-" if mean is None else f"{mean:.2%}", "-" if best is None else f"{best:+.2%}")
        table.add_row(row["name"], *shown, row["reason"].partition("(")[0].partition(";")[0])
    return table


def heldout_sentence(held: dict[str, Any]) -> str:
    """What the law, fitted without them, said of the cells with the most compute."""
    rolling, unidentified = held["rolling"]["num_runs"], ", ".join(held["unidentified"])
    return (
        f"held out, the {held['num_cells']} cells of the sizes with the most compute ({held['num_runs']} runs): mean "
        f"error {held['mean_abs_rel_error']:.2%}, largest {held['max_abs_rel_error']:.2%}; {held['num_inside']} "
        f"inside their 95% prediction intervals, {held['pi95_mean_width']:.1%} wide on average"
        + f"; over all rolling hold-outs the intervals cover {held['pi95_coverage']:.0%}" * bool(rolling)
        + f"; {unidentified} not identified without those cells" * bool(unidentified)
    )


def read_law(folder: Path = RESULTS) -> "tuple[pd.DataFrame, dict[str, Any]] | None":
    """The runs and their law in a folder of results; None where the stage has not run.

    Raises ValueError if they do not belong together.
    """
    from analysis.points import file_digest, read_points

    path, table = folder / LAW.name, folder / POINTS.name
    if not path.exists() or not table.exists():
        return None
    law = store.read_json(path)
    if law.get("inputs", {}).get(table.name) != file_digest(table):
        raise ValueError(f"{path} was fitted to another {table}: run `dvc repro law`")
    return read_points(table), law
