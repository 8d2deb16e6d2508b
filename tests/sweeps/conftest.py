"""What both files on distillation rest on: the documents, the teacher and the students."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.ladder import Shape
from sweeps.distil.job import DistilJob, checkpoint_digest
from sweeps.distil.params import WAYS, Way
from sweeps.distil.train import distil
from sweeps.documents import DocumentData, load_documents
from tests.sweeps.distil_runs import FOLDED, SAME, B, T, build, make_job


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("distil")


@pytest.fixture(scope="module")
def data(place: Path) -> DocumentData:
    return load_documents(build(place / "same", SAME))


@pytest.fixture(scope="module")
def teacher(place: Path) -> Path:
    """A student of data alone, of the other data: 16 wide, longer trained."""
    other = build(place / "folded", FOLDED)
    job = make_job(other, place / "teachers", place, shape=Shape(16), tokens=80 * T * B)
    distil(job)
    return job.directory / "checkpoint"


@pytest.fixture(scope="module")
def job(place: Path, data: DocumentData, teacher: Path) -> Callable[..., DistilJob]:
    """A job by its way and what differs."""
    digest = checkpoint_digest(teacher)

    def make(way: Way, **changes: Any) -> DistilJob:
        return make_job(data.path, place / "runs", teacher, digest, way, **changes)

    return make


@pytest.fixture(scope="module")
def students(job: Callable[..., DistilJob]) -> dict[Way, DistilJob]:
    """Trained, one a way. Read only."""
    jobs = {way: job(way) for way in WAYS}
    for one in jobs.values():
        distil(one)
    return jobs
