"""A checkout as the verbs see it: params.yaml, where files lie, and what the corpus on disk says."""

import json
import subprocess
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evals.abilities.params import AbilitiesParams
from evals.longcontext.params import WorldParams
from experiments.params import Params, load
from sweeps import store
from sweeps.corpus.params import built_from
from sweeps.corpus.sources import file_stamps
from sweeps.grid import Cell, Suite, Training, cells
from sweeps.train_job import CellJob

PARAMS = Path("params.yaml")
DATA = Path("data/corpus")
ABILITIES = Path("data/abilities")
ABILITY_TOKENS = ABILITIES / "tokens"
WORLD = Path("data/world")
WORLD_TOKENS = WORLD / "tokens"
RUNS = Path("runs")
RESULTS = Path("results")
REPORT = RESULTS / "report.html"
CACHE = Path(".cache")
COMPILE_CACHE = CACHE / "inductor"
REMEDIES = {"text": "corpus.max_bytes", "abilities": "abilities.documents", "world": "world.lessons"}
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
        return _read_manifest(DATA, "corpus")

    @property
    def abilities(self) -> AbilitiesParams:
        """Raises ValueError where params.yaml has none."""
        if self.params.abilities is None:
            raise ValueError(f"abilities is missing in {PARAMS}: add it, with the shares of the mixture")
        return self.params.abilities

    def abilities_identity(self) -> dict[str, Any]:
        """What the abilities' token store is made of, as its manifest says; raises ValueError as `corpus` does."""
        digests = [self.corpus()[name] for name in ("digest", "validation_digest")]
        return json.loads(json.dumps({"abilities": asdict(self.abilities), "corpus": digests}))

    @property
    def world(self) -> WorldParams:
        """Raises ValueError where params.yaml has none."""
        if self.params.world is None:
            raise ValueError(f"world is missing in {PARAMS}: add it, with the number of its lessons")
        return self.params.world

    def corpus(self) -> dict[str, Any]:
        """The corpus manifest; raises ValueError where the corpus is missing or not of the present params and texts."""
        manifest = self.manifest
        if manifest is None:
            raise ValueError(f"{DATA} holds no corpus: run `dvc repro corpus`")
        vocab_size = self.params.tokenizer.vocab_size
        if manifest.get("params") != built_from(self.params.corpus, vocab_size, self.params.validation):
            raise ValueError(f"{DATA} was built from other settings than {PARAMS} has now: run `dvc repro corpus`")
        if manifest.get("files", []) != file_stamps(self.params.corpus):
            raise ValueError(f"corpus.paths: the texts changed since {DATA} was built: run `dvc repro -f corpus`")
        return manifest

    def data(self, name: str) -> tuple[Path, dict[str, Any]]:
        """Where the suite's training data lie and what they say of themselves; raises ValueError as `recipe` does."""
        kind = self.suite(name).data
        if kind == "text":
            return DATA, self.corpus()
        if kind == "world":
            place, identity = WORLD_TOKENS, asdict(self.world)
        else:
            place, identity = ABILITY_TOKENS, self.abilities_identity()
        manifest = _read_manifest(place, kind)
        if manifest is None:
            raise ValueError(f"{place} holds no documents: run `dvc repro {kind}`")
        if manifest["params"] != identity:
            raise ValueError(f"{place} was built from other settings or text: run `dvc repro {kind}`")
        return place, manifest

    def suite(self, name: str) -> Suite:
        """Raises ValueError for a suite that params.yaml does not have."""
        if name not in self.params.suites:
            raise ValueError(f"suite {name!r} is not in {PARAMS}: choose one of {', '.join(self.params.suites)}")
        return self.params.suites[name]

    def cells(self, name: str) -> list[Cell]:
        """The suite's grid."""
        return cells(name, self.suite(name), self.vocab_size(name))

    def vocab_size(self, name: str) -> int:
        """Of the suite's tokenizer; raises ValueError as `data` does where that is the world's."""
        is_own = self.suite(name).data == "world"
        return self.data(name)[1]["vocab_size"] if is_own else self.params.tokenizer.vocab_size

    def recipe(self, name: str) -> store.Recipe:
        """Raises ValueError where the data are missing, of other settings, or too small for the suite's tokens."""
        suite = self.suite(name)
        _, manifest = self.data(name)
        self._check_tokens(name, suite.training, manifest)
        return store.Recipe(
            training=suite.training,
            vocab_size=manifest["vocab_size"],
            data_digest=manifest["digest"],
            validation_digest=manifest["validation_digest"],
            device=self.params.executor.device,
            code_digest=store.code_digest(CODE_ROOT),
        )

    def _check_tokens(self, name: str, training: Training, manifest: dict[str, Any]) -> None:
        documents, length = manifest["layout"] == "documents", training.sequence_length
        there, remedy = manifest["train"], REMEDIES[self.suite(name).data]
        usable = length * (there["documents"] if documents else (there["tokens"] - 1) // length)
        longest = max(manifest[split]["longest"] for split in ("train", "validation")) if documents else 0
        if longest > length + 1:
            raise ValueError(
                f"suites.{name}.training.sequence_length is {length} and cuts documents of {longest} tokens: use "
                f"{longest - 1} or more"
            )
        for cell in self.cells(name):
            asked = cell.steps[-1] * training.batch_tokens
            if cell.unique_tokens is None and asked > usable:
                raise ValueError(
                    f"suites.{name} asks for {asked} tokens at size {cell.width}, there are {usable}: raise "
                    f"{remedy}, lower tokens, or set unique_tokens in that block of the grid to repeat them"
                )
            if cell.unique_tokens is not None and cell.unique_tokens > usable:
                raise ValueError(
                    f"suites.{name}.grid has unique_tokens {cell.unique_tokens}, there are {usable}: raise "
                    f"{remedy} or lower it"
                )

    def jobs(self, name: str) -> list[CellJob]:
        """One job a cell of the suite, trained or not."""
        recipe, revision, (data, _) = self.recipe(name), git_revision(), self.data(name)
        return [CellJob(cell, recipe, data, self.runs, revision) for cell in self.cells(name)]


def _read_manifest(directory: Path, stage: str) -> dict[str, Any] | None:
    from sweeps.tokens import SCHEMA_VERSION

    path = directory / "manifest.json"
    if not path.exists():
        return None
    try:
        manifest = json.loads(path.read_text())
    except ValueError:
        raise ValueError(f"{path} cannot be read: delete {directory} and run `dvc repro {stage}`") from None
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"{directory} is of another version of scalelab: run `dvc repro -f {stage}`")
    return manifest


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
