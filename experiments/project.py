"""A checkout as the verbs see it: params.yaml, where files lie, and what the corpus on disk says."""

import json
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.params import Params, load
from sweeps import store
from sweeps.corpus.params import built_from
from sweeps.corpus.sources import file_stamps
from sweeps.grid import Cell, Suite, Training, cells
from sweeps.train_job import CellJob

PARAMS = Path("params.yaml")
DATA = Path("data/corpus")
RUNS = Path("runs")
RESULTS = Path("results")
CACHE = Path(".cache")
COMPILE_CACHE = CACHE / "inductor"
CODE_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Project:
    """Everything below the current directory, read when it is asked for."""

    params: Params
    runs: Path = RUNS

    @staticmethod
    def here() -> "Project":
        """The project of the current directory."""
        return Project(load(PARAMS))

    @cached_property
    def manifest(self) -> dict[str, Any] | None:
        """The corpus manifest; None where the corpus is not built."""
        path = DATA / "manifest.json"
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text())
        except ValueError:
            raise ValueError(f"{path} cannot be read: delete {DATA} and run `dvc repro corpus`") from None

    def suite(self, name: str) -> Suite:
        """Raises ValueError for a suite that params.yaml does not have."""
        if name not in self.params.suites:
            raise ValueError(f"suite {name!r} is not in {PARAMS}: choose one of {', '.join(self.params.suites)}")
        return self.params.suites[name]

    def cells(self, name: str) -> list[Cell]:
        """The suite's grid."""
        return cells(name, self.suite(name), self.params.tokenizer.vocab_size)

    def recipe(self, name: str) -> store.Recipe:
        """Raises ValueError where the corpus is missing, of another vocabulary, or too small for the suite's tokens."""
        manifest, vocab_size = self.manifest, self.params.tokenizer.vocab_size
        if manifest is None:
            raise ValueError(f"{DATA} holds no corpus: run `dvc repro corpus`")
        if manifest.get("params") != built_from(self.params.corpus, vocab_size, self.params.validation):
            raise ValueError(f"{DATA} was built from other settings than {PARAMS} has now: run `dvc repro corpus`")
        if manifest.get("files", []) != file_stamps(self.params.corpus):
            raise ValueError(f"corpus.paths: the texts changed since {DATA} was built: run `dvc repro -f corpus`")
        suite = self.suite(name)
        self._check_tokens(name, suite.training, manifest["train"]["tokens"])
        return store.Recipe(
            training=suite.training,
            vocab_size=vocab_size,
            data_digest=manifest["digest"],
            validation_digest=manifest["validation_digest"],
            device=self.params.executor.device,
            code_digest=store.code_digest(CODE_ROOT),
        )

    def _check_tokens(self, name: str, training: Training, tokens_there: int) -> None:
        usable = (tokens_there - 1) // training.sequence_length * training.sequence_length
        for cell in self.cells(name):
            asked = cell.steps[-1] * training.batch_tokens
            if cell.unique_tokens is None and asked > usable:
                raise ValueError(
                    f"suites.{name} asks for {asked} tokens at size {cell.width}, the corpus has {usable}: raise "
                    "corpus.max_bytes, lower tokens, or set unique_tokens in that block of the grid to repeat them"
                )
            if cell.unique_tokens is not None and cell.unique_tokens > usable:
                raise ValueError(
                    f"suites.{name}.grid has unique_tokens {cell.unique_tokens}, the corpus has {usable}: raise "
                    "corpus.max_bytes or lower it"
                )

    def jobs(self, name: str) -> list[CellJob]:
        """One job a cell of the suite, trained or not."""
        recipe, revision = self.recipe(name), git_revision()
        return [CellJob(cell, recipe, DATA, self.runs, revision) for cell in self.cells(name)]


def git_revision() -> str:
    """HEAD's hash, with -dirty where tracked files differ but for what the pipeline writes; "unknown" without git."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    except FileNotFoundError:  # no git on this machine
        return "unknown"
    if head.returncode:
        return "unknown"
    inputs = [".", f":(exclude){RESULTS}", ":(exclude)dvc.lock"]
    dirty = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *inputs]).returncode
    return head.stdout.strip() + "-dirty" * bool(dirty)
