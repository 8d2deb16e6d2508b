"""The law stages: records to points.csv, points to law.json, both to the report."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from analysis.params import FitParams
from experiments.project import RESULTS, Project, git_revision
from sweeps import store

if TYPE_CHECKING:
    import pandas as pd

SUITE = "law"
POINTS, LAW, REPORT = RESULTS / "points.csv", RESULTS / "law.json", RESULTS / "report.html"
COLUMNS = (
    "run_id", "fingerprint", "suite", "family", "size", "cell", "branch", "seed", "params", "params_total",
    "params_with_head", "tokens", "unique_tokens", "flops", "flops_6nd", "loss", "loss_se", "bits_per_byte",
    "learning_rate", "batch_tokens", "steps", "seconds", "tokens_per_second", "device", "precision", "compile",
    "status", "reason", "revision", "torch", "transformers",
)  # fmt: skip


def collect_points(project: Project) -> list[dict[str, Any]]:
    """One row a current branch of the suite's grid; raises ValueError where some are still to be trained."""
    rows, missing = [], []
    for job in project.jobs(SUITE):
        for steps in job.cell.steps:
            directory = store.branch_dir(job.runs, job.cell, steps * job.recipe.training.batch_tokens)
            if not store.is_settled(job.state(steps)):
                missing.append(f"{job.cell.name}/{directory.name}")
                continue
            record = store.read_record(directory)
            assert record is not None
            run_id = f"{SUITE}/{record['cell']}/{record['branch']}"
            rows.append({**record, **record["versions"], "run_id": run_id, "params": record["params_non_embedding"]})
    if missing:
        raise ValueError(f"{len(missing)} branches are not trained ({missing[0]}, ...): run `scalelab train {SUITE}`")
    return rows


def fit_own(settings: FitParams) -> dict[str, Any]:
    """Fits the project's own sweep, whose table it writes first; returns what law.json says."""
    import pandas as pd

    project = Project.here()
    RESULTS.mkdir(exist_ok=True)
    partial = POINTS.with_suffix(".partial")
    pd.DataFrame(collect_points(project))[list(COLUMNS)].to_csv(partial, index=False)
    partial.replace(POINTS)
    return fit_table(str(POINTS), {}, settings, 0)


def fit_table(source: str, columns: Mapping[str, str], settings: FitParams, dropped: int) -> dict[str, Any]:
    """Fits anyone's table of runs without its `dropped` highest losses; returns what law.json says."""
    from analysis.scaling import fit_law
    from experiments.fits import drop_highest, read_table

    points, inputs = read_table(source, columns)
    return fit_law(drop_highest(points, dropped), settings, inputs)


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
    console.print(f"L = {law['formula']} over {law['num_points']} runs of {law['num_sizes']} sizes")
    console.print(table)
    if law["num_dropped"]:
        console.print(f"{law['num_dropped']} runs are not in the law: their status is not done (diverged or failed)")
    for finding in law["diagnostics"]:
        console.print(f"{finding['severity']}: {finding['name']}: {finding['message']}; {finding['remedy']}")
    if law["heldout"]:
        console.print(heldout_sentence(law["heldout"]))


def heldout_sentence(held: dict[str, Any]) -> str:
    """What the law, fitted without them, said of the cells with the most compute."""
    rolling, unidentified = held["rolling"]["num_runs"], ", ".join(held["unidentified"])
    return (
        f"held out, the {held['num_cells']} cells with the most compute ({held['num_runs']} runs): mean error "
        f"{held['mean_abs_rel_error']:.2%}, largest {held['max_abs_rel_error']:.2%}; {held['num_inside']} "
        f"inside their 95% prediction intervals, {held['pi95_mean_width']:.1%} wide on average"
        + f"; over all rolling hold-outs the intervals cover {held['pi95_coverage']:.0%}" * bool(rolling)
        + f"; {unidentified} not identified without those cells" * bool(unidentified)
    )


def write_law_report(dry_run: bool) -> str:
    """Writes the report from the results on disk; returns the line to print."""
    from analysis.points import file_digest, read_points

    if not LAW.exists() or not POINTS.exists():
        raise ValueError(f"{LAW} or {POINTS} is not there: run `dvc repro law`")
    project = Project.here()
    if dry_run:
        return f"would write {REPORT} from {POINTS} and {LAW}"
    from analysis.report import write_report

    law = store.read_json(LAW)
    if law["inputs"].get(POINTS.name) != file_digest(POINTS):
        raise ValueError(f"{LAW} was fitted to another {POINTS}: run `dvc repro law`")
    points = read_points(POINTS)
    write_report(points, law, REPORT, provenance(project, points))
    return f"report: {REPORT.resolve()}"


def provenance(project: Project, points: "pd.DataFrame") -> dict[str, Any]:
    """Where the results come from: the revisions and libraries that trained the runs, their data, who drew the page."""
    manifest = project.manifest or {}
    trained = {name: ", ".join(sorted(set(map(str, points[name])))) for name in ("revision", "torch", "transformers")}
    return {
        "trained at": trained.pop("revision"),
        "drawn at": git_revision(),
        "corpus": {"source": project.params.corpus.source, "digest": manifest.get("digest", "not built here")},
        "versions": trained,
    }
