"""What every test relies on: no network, one thread, no accelerator unless there is one, the published tables."""

import contextlib
import copy
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.checkout import heed_interrupts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from sweeps.train_job import CellJob

# Before any test imports the libraries that read them.
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
for variable, setting in OFFLINE.items():
    os.environ.setdefault(variable, setting)
# A tracking server that the developer uses is not the tests' to write to.
os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(autouse=True)
def no_tracking_server() -> Iterator[None]:
    """mlflow.set_tracking_uri writes to the environment, where the next test's command line would read it."""
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest file first, so that the rest runs beside it; `gpu` tests skip where there is no accelerator.

    torch is imported only if such a test is there.
    """
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs an accelerator: torch.cuda.is_available() is false"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """The folder of published tables; skips where SCALELAB_REFERENCE_DATA does not name it."""
    folder = os.environ.get("SCALELAB_REFERENCE_DATA")
    if not folder:
        pytest.skip("SCALELAB_REFERENCE_DATA names no folder of published tables")
    return Path(folder)


# A project as a user has one: a directory with params.yaml, the corpus and what training leaves.

TINY_PARAMS: dict[str, Any] = {
    "corpus": {"source": "files", "paths": ["text/*.txt"], "validation_share": 0.25},
    "validation": {"documents": 8, "document_bytes": 500},
    "tokenizer": {"vocab_size": 260},
    "executor": {"workers": 1, "device": "cpu"},
    "suites": {
        "law": {
            "family": "decoder",
            "grid": [{"sizes": [16], "tokens": [61_440, 163_840]}],
            "training": {
                "sequence_length": 64,
                "batch_tokens": 512,
                "learning_rate": 0.01,
                "warmup_steps": 10,
                "compile": False,
            },
        }
    },
    "fit": {},
}


class Workplace:
    """A temporary project with the session's corpus, and the real command line run in it."""

    def __init__(self, path: Path, root: Path, token_store: Path) -> None:
        self.path, self.root = path, root
        (path / "data").mkdir(parents=True)
        (path / "data" / "corpus").symlink_to(token_store)
        self.tree = copy.deepcopy(TINY_PARAMS)
        self.tree["corpus"]["paths"] = [f"{token_store.parent}/text/*.txt"]
        self.write()

    def write(self) -> None:
        """params.yaml from `tree`; JSON is YAML."""
        (self.path / "params.yaml").write_text(json.dumps(self.tree))

    def set(self, dotted: str, value: Any) -> None:
        """Changes one key of params.yaml: set("suites.law.training.learning_rate", 1)."""
        *parents, last = dotted.split(".")
        branch = self.tree
        for name in parents:
            branch = branch[name]
        branch[last] = value
        self.write()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command line, running; its worker processes are its children."""
        return subprocess.Popen(
            [sys.executable, "-m", "experiments", *arguments],
            cwd=self.path,
            env={**os.environ, "PYTHONPATH": str(self.root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_interrupts,
        )

    def scalelab(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The command line, ended."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=200)
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def trained(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`train`, which must succeed."""
        done = self.scalelab("train", *arguments)
        assert done.returncode == 0, done.stderr
        return done

    def refusal(self, *arguments: str) -> str:
        """What the command line says to bad input: one line, exit code 2, and nothing begun."""
        before = sorted(self.path.rglob("*"))
        done = self.scalelab(*arguments)
        assert done.returncode == 2, done.stderr
        assert done.stderr.endswith("\n")
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("scalelab: ")
        assert sorted(self.path.rglob("*")) == before
        return done.stderr.strip()

    def job(self, cell: str = "w0016-s0", **changes: Any) -> "CellJob":
        """A cell as a worker gets it, on absolute paths; `changes` are fields of its recipe's training."""
        from experiments.project import Project

        with contextlib.chdir(self.path):
            (job,) = (job for job in Project.here().jobs("law") if job.cell.name == cell)
        recipe = replace(job.recipe, training=replace(job.recipe.training, **changes))
        return replace(job, recipe=recipe, data=self.path / job.data, runs=self.path / job.runs)

    def copy_runs(self, other: "Workplace") -> None:
        """Takes over what `other` has trained."""
        shutil.copytree(other.path / "runs", self.path / "runs")

    def branch(self, tokens: int, cell: str = "w0016-s0") -> Path:
        return self.path / "runs" / "law" / cell / f"t{tokens}"

    def record(self, tokens: int, cell: str = "w0016-s0") -> dict[str, Any]:
        return json.loads((self.branch(tokens, cell) / "record.json").read_text())

    def identity(self, tokens: int, cell: str = "w0016-s0") -> dict[str, Any]:
        """The record without what time and place decide."""
        measured = ("seconds", "tokens_per_second", "host", "num_devices")
        return {key: value for key, value in self.record(tokens, cell).items() if key not in measured}

    def weights(self, tokens: int, cell: str = "w0016-s0") -> bytes:
        return (self.branch(tokens, cell) / "checkpoint" / "model.safetensors").read_bytes()

    def stamps(self) -> dict[str, tuple[int, int]]:
        """Inode and time of change of every file of every whole branch: equal as long as nothing writes there again."""
        files = [path for path in self.path.glob("runs/*/*/t[0-9]*/**/*") if path.is_file()]
        return {str(path.relative_to(self.path)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="session")
def token_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of one installed package's code: 700 kB of text, 8 held-out documents, a token a byte."""
    from sweeps.corpus import CorpusParams, ValidationParams
    from sweeps.corpus.build import build_corpus

    folder = tmp_path_factory.mktemp("corpus")
    spec = importlib.util.find_spec("rich")
    assert spec is not None
    assert spec.origin is not None
    (folder / "text").mkdir()
    for file in Path(spec.origin).parent.glob("*.py"):
        (folder / "text" / f"{file.stem}.txt").write_bytes(file.read_bytes())
    corpus, validation = TINY_PARAMS["corpus"], TINY_PARAMS["validation"]
    params = CorpusParams(**{**corpus, "paths": (f"{folder}/text/*.txt",)})
    build_corpus(params, 260, ValidationParams(**validation), folder / "tokens")
    return folder / "tokens"


@pytest.fixture(scope="session")
def make_workplace(tmp_path_factory: pytest.TempPathFactory, root: Path, token_store: Path) -> Callable[[], Workplace]:
    """A new project in an empty directory at every call."""
    return lambda: Workplace(tmp_path_factory.mktemp("project") / "project", root, token_store)


@pytest.fixture
def workplace(make_workplace: Callable[[], Workplace]) -> Workplace:
    """A project in which nothing is trained."""
    return make_workplace()


@pytest.fixture(scope="session")
def trained(make_workplace: Callable[[], Workplace]) -> Workplace:
    """The tiny project, trained without interruption by `scalelab train`: one cell, two branches. Read only."""
    place = make_workplace()
    place.trained()
    return place


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch as workers have it: sums in another order would give other bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """What a coroutine returns, or raises, also where a browser's loop runs in this thread."""
    from rlm.loop import result_of

    return result_of


@pytest.fixture
def serve() -> Iterator[Callable[..., Any]]:
    """Starts a server of OpenAI's protocol: see tests/serving.py."""
    from tests.serving import serving

    with serving() as start:
        yield start


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# SwiftShader draws WebGL without a GPU; the rest keeps the browser from calling home.
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Headless Chromium; skips where none is installed."""
    from playwright.sync_api import sync_playwright

    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=BROWSER_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """An empty page of a desktop's size."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60_000)
    yield page
    page.close()
