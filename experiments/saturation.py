"""The saturation stage: records to saturation_points.csv, points to saturation.json."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from analysis.params import FitParams
from experiments.fits import read_table
from experiments.points import write_points
from experiments.project import RESULTS, Project
from sweeps import store

if TYPE_CHECKING:
    import pandas as pd

SUITE = "saturation"
CURVES = {"power": "no end", "fixed-n": "a floor", "stops": "stops", "undetermined": "undecided"}
POINTS, SATURATION = RESULTS / "saturation_points.csv", RESULTS / "saturation.json"


def own_saturation(settings: FitParams) -> "tuple[pd.DataFrame, dict[str, Any]]":
    """Of the project's own sweep, whose table it writes first; returns the runs and what saturation.json says."""
    write_points(Project.here(), SUITE, POINTS)
    return saturation_of_table(str(POINTS), {}, settings)


def saturation_of_table(
    source: str, columns: Mapping[str, str], settings: FitParams
) -> "tuple[pd.DataFrame, dict[str, Any]]":
    """Of anyone's table of runs; returns the runs and what saturation.json says."""
    from analysis.saturation import fit_saturation

    points, inputs = read_table(source, columns)
    return points, fit_saturation(points, settings, inputs)


def read_saturation() -> "tuple[pd.DataFrame, dict[str, Any]] | None":
    """The table and what was found in it; None where the stage has not run. Raises ValueError if they do not belong."""
    from analysis.points import file_digest, read_points

    if not SATURATION.exists() or not POINTS.exists():
        return None
    found = store.read_json(SATURATION)
    if found["inputs"].get(POINTS.name) != file_digest(POINTS):
        raise ValueError(f"{SATURATION} was made from another {POINTS}: run `dvc repro saturation`")
    return read_points(POINTS), found


def print_saturation(found: dict[str, Any]) -> None:
    """A row a size and kind of data: its curve, and the tokens at which it reaches each eps."""
    from analysis.page import si

    table = Table("N", "data", "curve", *(f"D_sat({eps:g})" for eps in found["eps"]))
    for size in found["sizes"]:
        weight = max(size["models"].values())
        curve = f"{CURVES[size['verdict']]}\n({weight:.0%})"
        cells = (f"{spelled(entry, size)}\n({between(entry['ci95'])})" for entry in size["d_sat"])
        table.add_row(f"{size['params']:,.0f}\n(to {si(size['longest_tokens'])})", data_name(size), curve, *cells)
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    for law in found["law"]:
        console.print(law_sentence(law))
    for row in found["skipped"]:
        console.print(f"left out: {row['params']:,.0f} parameters, {data_name(row)}: {row['reason']}")


def saturation_sentence(size: dict[str, Any]) -> str:
    """One curve in a line: its form, and the least eps that its runs reached."""
    weight = max(size["models"].values())
    reached = [entry for entry in size["d_sat"] if entry["reached"]] or size["d_sat"][:1]
    return (
        f"{size['params']:,.0f} parameters, {data_name(size)}: {CURVES[size['verdict']]} ({weight:.0%}), elasticity "
        f"below {reached[-1]['eps']:g} from {spelled(reached[-1], size)} tokens ({between(reached[-1]['ci95'])})"
    )


def spelled(entry: dict[str, Any], size: dict[str, Any]) -> str:
    """Tokens, or that they lie beyond the longest run."""
    from analysis.page import si

    return si(entry["tokens"]) if entry["reached"] else f"> {si(size['longest_tokens'])}"


def between(ends: list[float | None]) -> str:
    """An interval; null is an end that no draw shows."""
    from analysis.page import si

    low, high = ends
    return f"{si(low)} to {si(high)}" if high is not None else "no end" if low is None else f"{si(low)} or more"


def data_name(size: dict[str, Any]) -> str:
    """Fresh, or the set of tokens that was repeated."""
    from analysis.page import si

    return "fresh" if size["unique_tokens"] is None else f"{si(size['unique_tokens'])} repeated"


def law_sentence(law: dict[str, Any]) -> str:
    """How D_sat grows with size."""
    interval = law["ci95"]["p"]
    spread = f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "no interval: some draws do not reach it"
    return f"{data_name(law)}, eps {law['eps']:g}: D_sat ~ N^{law['p']:.2f} ({spread}) over {law['num_sizes']} sizes"
