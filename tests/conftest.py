"""What every test relies on: no network, one thread, no accelerator unless there is one, the published tables."""

import os
from pathlib import Path

import pytest

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips `gpu` tests where there is no accelerator; torch is imported only if such a test is there."""
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
