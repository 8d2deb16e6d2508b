"""`scalelab promote`: the best run of a suite in MLflow's registry, where others load it by name.

One registered model a suite, `scalelab-law`, and one version a promoted run. The alias `baseline` stands at the one
that was promoted last: `mlflow.transformers.load_model("models:/scalelab-law@baseline")` loads it. A version is known
by the fingerprint of its record, so that a run is registered once.
"""

import importlib.metadata
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.mlflow_store import client_of, experiment_of, store_errors
from experiments.points import checkpoint_of, settled_branches
from experiments.project import Project
from experiments.snapshot import Sweep
from experiments.track import sync

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS = "baseline"
TASK = "text-generation"
FINGERPRINT = "scalelab.fingerprint"
# What loading needs: named here, for MLflow would load the model to find out.
LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate")


@dataclass(frozen=True)
class Candidate:
    """The run that would be promoted."""

    model: str
    checkpoint: Path
    record: dict[str, Any]

    def __str__(self) -> str:
        record = self.record
        return (
            f"{self.model}: {record['cell']}/{record['branch']}, {record['params_non_embedding']:,} parameters, "
            f"{record['tokens']:,} tokens, loss {record['loss']:.4f}"
        )


def candidate(project: Project, suite: str) -> Candidate:
    """Of the suite's largest size that has a finished run the one of least loss.

    Raises ValueError where runs are still to be trained, all diverged, or the chosen one's checkpoint is gone.
    """
    done = [(path, record) for _, path, record in settled_branches(project, suite) if record["status"] == "done"]
    if not done:
        raise ValueError(f"no run of {suite} has a checkpoint: all diverged; lower its learning_rate")
    path, record = max(done, key=lambda run: (run[1]["params_non_embedding"], -run[1]["loss"]))
    return Candidate(f"scalelab-{suite}", checkpoint_of(path), record)


def promote(project: Project, suite: str, tracking_uri: str | None = None) -> str:
    """Registers the suite's candidate, where it is not, and moves the alias to it; returns the line to print.

    The suite's runs are published first: a version belongs to the run that trained it. Raises ValueError as `candidate`
    and `store_errors` do.
    """
    chosen = candidate(project, suite)
    sweep = Sweep(suite, project.cells(suite), project.recipe(suite))
    with store_errors(tracking_uri):
        sync(project.runs, [sweep], tracking_uri=tracking_uri)
        client = client_of(tracking_uri)
        version = registered(client, chosen)
        is_new = version is None
        version = register(client, chosen, sweep) if version is None else version
        client.set_registered_model_alias(chosen.model, ALIAS, version)
    return (
        f"{chosen}: version {version}{' (new)' if is_new else ''} is {ALIAS}; models:/{chosen.model}@{ALIAS} loads it"
    )


def registered(client: "MlflowClient", chosen: Candidate) -> str | None:
    """The version that this run has already; None where it has none."""
    versions = client.search_model_versions(f"name = '{chosen.model}'")
    same = (v for v in versions if v.tags.get(FINGERPRINT) == chosen.record["fingerprint"])
    return next((str(version.version) for version in same), None)


def register(client: "MlflowClient", chosen: Candidate, sweep: Sweep) -> str:
    """The checkpoint as an MLflow model of the run that trained it, and as a new version; returns its number."""
    from huggingface_hub import ModelCard
    from mlflow.transformers import save_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    experiment, record = experiment_of(client, sweep.suite), chosen.record
    where = f"tags.`scalelab.sweep` = '{sweep.identity}' and tags.`scalelab.cell` = '{record['cell']}'"
    (run,) = client.search_runs([experiment], where)
    if not client.search_registered_models(f"name = '{chosen.model}'"):
        client.create_registered_model(chosen.model, description=f"The best run of {sweep.suite} at its largest size.")
    tags = {
        FINGERPRINT: record["fingerprint"],
        "scalelab.revision": record["revision"],
        "scalelab.loss": str(record["loss"]),
        "scalelab.tokens": str(record["tokens"]),
        "scalelab.cell": f"{record['cell']}/{record['branch']}",
    }
    requirements = [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in LIBRARIES]
    card = ModelCard(f"{chosen}, trained at {record['revision']}.\n")  # without one MLflow asks the Hub
    kinds = {"model": AutoModelForCausalLM, "tokenizer": AutoTokenizer}
    logged = client.create_logged_model(experiment, record["cell"], run.info.run_id, tags)
    # Loaded, for with transformers 5 MLflow cannot copy a checkpoint's folder as it is.
    parts = {kind: kind_of.from_pretrained(chosen.checkpoint) for kind, kind_of in kinds.items()}
    with tempfile.TemporaryDirectory() as folder:
        save_model(parts, f"{folder}/model", task=TASK, pip_requirements=requirements, model_card=card)
        client.log_model_artifacts(logged.model_id, f"{folder}/model")
    client.finalize_logged_model(logged.model_id, "READY")
    version = client.create_model_version(
        chosen.model, logged.model_uri, run.info.run_id, tags, model_id=logged.model_id, description=str(chosen)
    )
    return str(version.version)
