"""A tracking server on Postgres, as docs/mlflow.md has it: real Postgres, real `mlflow server`, runs through HTTP."""

import os
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from experiments import track
from tests.experiments.test_track import runs_of
from tests.web import free_port, served

DEBIAN = Path("/usr/lib/postgresql")


def postgres_folder() -> Path:
    """Where initdb and pg_ctl lie; skips where they do not. Debian keeps them off the path."""
    for folder in (*map(Path, os.environ["PATH"].split(":")), *sorted(DEBIAN.glob("*/bin"), reverse=True)):
        if all((folder / name).is_file() for name in ("initdb", "pg_ctl", "postgres")):
            return (folder / "pg_ctl").resolve().parent
    pytest.skip("no Postgres: neither initdb on the path nor /usr/lib/postgresql/*/bin (apt-get install postgresql)")


@pytest.fixture
def postgres() -> Iterator[str]:
    """USER@HOST:PORT/DATABASE of a new Postgres. Root hands it to `nobody`: Postgres refuses to run as root."""
    folder, port, place = postgres_folder(), free_port(), Path(tempfile.mkdtemp(prefix="scalelab-postgres-"))
    user = "nobody" if os.getuid() == 0 else None
    if user:
        shutil.chown(place, user)

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [folder / program, "-D", place / "data", *arguments], cwd=place, user=user, group=None,
            stdin=subprocess.DEVNULL, stdout=(place / "log").open("a"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, (place / "log").read_text()

    run("initdb", "--username=scalelab", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
    run("pg_ctl", "--wait", f"--log={place}/server.log", f"--options=-p {port} -k {place} -h 127.0.0.1 -F", "start")
    try:
        yield f"scalelab@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "--wait", "--mode=immediate", "stop")
        shutil.rmtree(place)


@pytest.fixture
def server(postgres: str, tmp_path: Path, root: Path) -> Iterator[str]:
    """The address of a real server on that Postgres, started by the command of the docs with other places in it."""
    port = free_port()
    (documented,) = re.findall(r"^    (mlflow server .*)$", (root / "docs/mlflow.md").read_text(), re.MULTILINE)
    command = documented.replace("USER@HOST:5432/DATABASE", postgres).replace("/srv/mlflow", str(tmp_path / "kept"))
    command = command.replace("0.0.0.0", "127.0.0.1").replace("5000", str(port))
    (tmp_path / "elsewhere").mkdir()
    address, log = f"http://127.0.0.1:{port}", tmp_path / "server.log"
    with served([*command.split(), "--workers", "1"], f"{address}/health", tmp_path / "elsewhere", log):
        yield address


def test_runs_are_synced_twice_through_http_into_postgres_and_read_back(
    writer, server: str, postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, law = writer.sweep(2), tmp_path / "law.json"
    writer.write(sweep)
    law.write_text('{"law": 1}')
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert track.sync(writer.runs, [sweep], [law]) == track.Published(2, 2, settled=True)
    counted = points_in(postgres)
    assert track.sync(writer.runs, [sweep], [law]) == track.Published(2, 0, settled=True)
    # Of each cell a trunk of eight lines and branches of one and of two, three curves each; two ends of three numbers.
    assert points_in(postgres) == counted == 2 * ((8 + 1 + 2) * 3 + 2 * 3)
    (parent,), children = runs_of(server)
    assert [run.info.run_name for run in children] == [cell.name for cell in sweep.cells]
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    read = MlflowClient(server).download_artifacts(parent.info.run_id, "law.json", str(tmp_path))
    assert Path(read).read_text() == '{"law": 1}'
    assert len(list((tmp_path / "kept").rglob("law.json"))) == 1  # the server's, and none beside the params
    assert not (tmp_path / "mlruns").exists()
    with urllib.request.urlopen(server) as page:
        assert b"MLflow" in page.read()


def points_in(postgres: str) -> int:
    """Rows of the table of metrics, asked of Postgres itself."""
    import psycopg2

    connection = psycopg2.connect(f"postgresql://{postgres}")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM metrics")
            (count,) = cursor.fetchone()
            return count
    finally:
        connection.close()
