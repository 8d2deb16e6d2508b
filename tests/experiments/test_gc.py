"""`scalelab gc`: what goes, what never goes, and that what goes is what the dry run named."""

import json
import re
import shutil
from pathlib import Path

import pytest

from analysis.wording import byte_size
from experiments.gc import nobody_writes
from experiments.locks import is_held, only_one
from sweeps import store

SHORT, LONG = 61_440, 163_840


def judge(workplace, branch: str, fingerprint: str, cell: str = "w0016-s0") -> Path:
    """An evaluation as lm-eval's stage leaves it."""
    folder = workplace.path / "runs" / "evaluations" / "law" / cell / branch
    store.write_json(folder / store.SCORES, {"identity": "i", "fingerprint": fingerprint, "scores": []})
    (folder / store.SAMPLES).write_text("{}\n")
    return folder


@pytest.fixture
def cluttered(trained, workplace, newcomer, monkeypatch: pytest.MonkeyPatch):
    """The trained project, its evaluations, and everything that can lie about; `useless` are the paths to go."""
    monkeypatch.chdir(workplace.path)
    workplace.copy_runs(trained)
    runs, cell = Path("runs"), Path("runs/law/w0016-s0")
    copied = {
        "runs/law/w0016-s0/t81920": cell / f"t{SHORT}",  # a token count no longer asked for
        "runs/law/w0064-s0": cell,  # a size no longer asked for
        "runs/old/w0016-s0": cell,  # a suite no longer asked for
        "runs/law/w0016-s0/.t999.part": cell / f"t{SHORT}",
    }
    for name, source in copied.items():
        shutil.copytree(source, name)
    (cell / "trunk" / "128.tmp").write_bytes(b"half")
    (cell / "error.log").write_text("Traceback\n")
    kept = judge(workplace, f"t{SHORT}", workplace.record(SHORT)["fingerprint"])
    asked = kept / "asked-0123"
    store.write_json(asked / store.SCORES, {"identity": "i", "fingerprint": "of another", "scores": []})
    judge(workplace, f"t{LONG}", "of another")
    judge(workplace, "t81920", workplace.record(SHORT)["fingerprint"])
    shutil.copytree(kept, runs / "evaluations" / "old" / "w0016-s0" / f"t{SHORT}")
    for mine in (runs / "notes", runs / "law" / "notes", cell / "notes"):
        mine.mkdir()
        (mine / "mine.txt").write_text("somebody's own")
    workplace.useless = {
        *("runs/law/w0016-s0/t81920", "runs/law/w0064-s0", "runs/old", "runs/law/w0016-s0/.t999.part"),
        *("runs/law/w0016-s0/trunk/128.tmp", "runs/law/w0016-s0/error.log", str(asked.relative_to(workplace.path))),
        *(f"runs/evaluations/law/w0016-s0/t{LONG}", "runs/evaluations/law/w0016-s0/t81920", "runs/evaluations/old"),
    }
    return workplace


def files(useless: set[str]) -> dict[str, int]:
    """Every file below runs/ that is not below one of these paths."""
    found = {str(path): path.stat().st_mtime_ns for path in Path("runs").rglob("*") if path.is_file()}
    return {name: at for name, at in found.items() if not any(name == u or name.startswith(f"{u}/") for u in useless)}


def test_what_is_of_no_use_goes_and_nothing_else(cluttered, newcomer, monkeypatch) -> None:
    monkeypatch.chdir(cluttered.path)
    kept, everything = files(cluttered.useless), files(set())
    named = newcomer.result("gc", "--dry-run")
    assert {orphan["path"] for orphan in named["orphans"]} == cluttered.useless
    freed = sum(Path(name).stat().st_size for name in everything.keys() - kept.keys())
    assert named["bytes"] == freed
    assert files(set()) == everything
    _, dry, _ = newcomer.scalelab("gc", "--dry-run")
    code, out, err = newcomer.scalelab("gc")
    assert (code, err) == (0, "")
    assert out == dry.replace("would remove", "removed")
    assert f"removed {byte_size(freed)} in 10 files and folders; DVC keeps copies" in out
    assert files(set()) == kept
    assert not Path("runs/old").exists()
    assert newcomer.scalelab("gc")[1] == "nothing to remove\n"
    # Everything that the grid asks for is still there, and a longer branch leaves from the trunk that stayed.
    assert "2 done" in newcomer.scalelab("train", "--dry-run")[1]
    cluttered.set("suites.law.grid", [{"sizes": [16], "tokens": [SHORT, LONG, 184_320]}])
    from sweeps.cost import steps_to_train

    (added,) = steps_to_train(cluttered.job()).values()
    assert added == 360 - 256


def test_stale_branches_and_their_trunk_go(trained, workplace, newcomer, monkeypatch) -> None:
    monkeypatch.chdir(workplace.path)
    workplace.copy_runs(trained)
    workplace.set("suites.law.training.learning_rate", 0.02)
    found = newcomer.result("gc")
    assert {orphan["path"] for orphan in found["orphans"]} == {
        *(f"runs/law/w0016-s0/t{tokens}" for tokens in (SHORT, LONG)),
        "runs/law/w0016-s0/trunk",
    }
    assert [path.name for path in Path("runs").iterdir()] == ["law"]  # The stage's own folder stays, empty.
    assert list(Path("runs/law").iterdir()) == []


def test_a_failed_record_stays_without_what_it_replaced(trained, workplace, newcomer, monkeypatch) -> None:
    monkeypatch.chdir(workplace.path)
    workplace.copy_runs(trained)
    record = workplace.branch(LONG) / "record.json"
    record.rename(record.with_name("record.stale.json"))
    store.write_json(record, workplace.record(SHORT) | {"fingerprint": trained.record(LONG)["fingerprint"]})
    store.write_json(record, json.loads(record.read_text()) | {"status": "failed", "reason": "OSError: gone"})
    removed = {Path(orphan["path"]).name for orphan in newcomer.result("gc")["orphans"]}
    assert removed == {"record.stale.json", "checkpoint", "metrics.jsonl"}
    assert [path.name for path in workplace.branch(LONG).iterdir()] == ["record.json"]


def test_nothing_is_judged_without_its_data_or_while_somebody_works(trained, workplace, newcomer, monkeypatch) -> None:
    monkeypatch.chdir(workplace.path)
    workplace.copy_runs(trained)
    (workplace.path / ".cache").mkdir()
    with only_one(workplace.path / ".cache" / "law.lock"):
        for arguments in (("gc",), ("gc", "--dry-run")):
            assert "another process works on law (process " in newcomer.refusal(*arguments)
    (workplace.path / "data" / "corpus").unlink()
    found = newcomer.result("gc")
    assert (found["orphans"], list(found["left_alone"])) == ([], ["runs/law"])
    assert newcomer.scalelab("gc")[1].startswith("left alone: runs/law: data/corpus holds no corpus")


def test_while_it_removes_no_verb_that_writes_begins(root: Path, workplace, newcomer, monkeypatch) -> None:
    monkeypatch.chdir(workplace.path)
    taken = re.findall(r'CACHE / f?"([^"]+)\.lock"', (root / "experiments/__main__.py").read_text())
    names = {name.replace("{suite}", "law") for name in taken}
    assert len(names) == 5
    with nobody_writes(["law"]):
        assert {name for name in names if is_held(Path(f".cache/{name}.lock"))} == names
        for verb in ("inference", "longcontext", "posttrain"):
            assert f"another process works on {verb}-measured: wait" in newcomer.refusal(verb)
    assert not any(is_held(Path(f".cache/{name}.lock")) for name in names)
