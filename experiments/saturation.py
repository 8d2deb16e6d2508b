"""The saturation stage: records to saturation_points.csv, points to saturation.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from analysis.params import FitParams
from analysis.wording import curve_name, data_name, saturation_law, saturation_tokens, si, si_between
from experiments.fits import read_table
from experiments.points import write_points
from experiments.project import RESULTS, Project
from sweeps import store

if TYPE_CHECKING:
    import pandas as pd

SUITE = "saturation"
OTHER_RUNS = "saturation.json is of other runs than params.yaml asks for: dvc repro"
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


def read_saturation(folder: Path = RESULTS) -> "tuple[pd.DataFrame, dict[str, Any]] | None":
    """The table and what was found in it, in a folder of results; None where the stage has not run.

    Raises ValueError if they do not belong together.
    """
    from analysis.points import file_digest, read_points

    path, table = folder / SATURATION.name, folder / POINTS.name
    if not path.exists() or not table.exists():
        return None
    found = store.read_json(path)
    if found.get("inputs", {}).get(table.name) != file_digest(table):
        raise ValueError(f"{path} was made from another {table}: run `dvc repro saturation`")
    return read_points(table), found


def print_saturation(found: dict[str, Any]) -> None:
    """A row a size and kind of data: its curve, and the tokens at which it reaches each eps."""
    table = Table("N", "data", "curve", *(f"eps {eps:g}" for eps in found["eps"]))
    for size in found["sizes"]:
        cells = (f"{saturation_tokens(entry, size)}\n({si_between(entry['ci95'])})" for entry in size["d_sat"])
        table.add_row(
            f"{size['params']:,.0f}\n(to {si(size['longest_tokens'])})", data_name(size), curve_name(size), *cells
        )
    console = Console(soft_wrap=True, highlight=False)
    console.print("D_sat, the tokens from which the elasticity -d ln L / d ln D stays below eps (95% interval):")
    console.print(table)
    for law in found["law"]:
        console.print(saturation_law(law))
    if found["num_dropped"]:
        console.print(f"{found['num_dropped']} runs are left out: their status is not done (diverged or failed)")
    for row in found["skipped"]:
        console.print(f"left out: {row['params']:,.0f} parameters, {data_name(row)}: {row['reason']}")


def saturation_sentence(size: dict[str, Any]) -> str:
    """One curve in a line: its form, and where it reaches the first eps."""
    first = size["d_sat"][0]
    return (
        f"{size['params']:,.0f} parameters, {data_name(size)}: {curve_name(size)}; elasticity below "
        f"{first['eps']:g} from {saturation_tokens(first, size)} tokens ({si_between(first['ci95'])}), "
        f"{size['num_runs']} runs in {size['num_cells']} cells"
    )
