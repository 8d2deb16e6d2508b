"""Promotion into MLflow's registry, and the model as another program loads it from there."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from mlflow import MlflowClient
from transformers import AutoModelForCausalLM

from experiments.project import Project
from experiments.registry import promote
from tests.conftest import Workplace


@pytest.fixture
def registry(tracking_uri: str) -> Iterator[str]:
    """The store, and what programs load models from."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracking_uri)
    yield tracking_uri
    mlflow.set_tracking_uri(before)


def test_promoted_model_is_loaded_by_its_alias_and_says_what_the_checkpoint_says(
    workplace: Workplace, trained: Workplace, registry: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace.copy_runs(trained)
    monkeypatch.chdir(workplace.path)
    told = promote(Project.here(), "law", registry)
    least = min((trained.record(tokens) for tokens in (61_440, 163_840)), key=lambda record: record["loss"])
    assert told.startswith(f"scalelab-law: w0016-s0/{least['branch']}, ")
    assert "version 1 (new) is baseline" in told
    assert "version 1 is baseline" in promote(Project.here(), "law", registry)

    client = MlflowClient(registry)
    (version,) = client.search_model_versions("name = 'scalelab-law'")
    assert version.tags["scalelab.fingerprint"] == least["fingerprint"]
    assert version.tags["scalelab.revision"] == least["revision"]
    assert float(version.tags["scalelab.loss"]) == least["loss"]
    run = client.get_run(str(version.run_id))
    assert run.data.tags["scalelab.cell"] == "w0016-s0"

    (documented,) = re.findall(r"```python\n(.*?)```", (root / "docs/mlflow.md").read_text(), re.DOTALL)
    there: dict[str, Any] = {}
    exec(documented.replace("sqlite:///mlflow.db", registry), there)
    pipeline = there["generate"]
    checkpoint = Path("runs/law/w0016-s0") / least["branch"] / "checkpoint"
    own = AutoModelForCausalLM.from_pretrained(checkpoint)
    tokens_BT = pipeline.tokenizer("def main(", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        assert torch.equal(pipeline.model(tokens_BT).logits, own(tokens_BT).logits)
    (answer,) = pipeline("def main(", max_new_tokens=4, do_sample=False)
    assert answer["generated_text"].startswith("def main(")


def test_verb_says_what_it_would_register_and_refuses_what_is_not_trained(
    workplace: Workplace, trained: Workplace
) -> None:
    assert "2 branches are not trained" in workplace.refusal("promote")
    dry = trained.scalelab("promote", "law", "--dry-run")
    assert dry.stdout.startswith("would register scalelab-law: w0016-s0/t")
    assert not (trained.path / "mlflow.db").exists()
    workplace.copy_runs(trained)
    best = dry.stdout.partition("w0016-s0/")[2].partition(",")[0]
    shutil.rmtree(workplace.path / "runs/law/w0016-s0" / best / "checkpoint")
    said = workplace.refusal("promote")
    assert said.startswith(f"scalelab: runs/law/w0016-s0/{best}/checkpoint is not there, its record is: ")
    assert "`dvc checkout --force runs/law` may bring it back; else remove" in said
