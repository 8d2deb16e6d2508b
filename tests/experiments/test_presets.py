"""`scalelab use`: another params.yaml, and what becomes of one's own."""

import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.own_texts import fit_to_texts
from experiments.params import load
from experiments.presets import PRESETS, put_in_place, put_texts_in_place


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that looks like a checkout and is the working directory."""
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_preset_in_place_of_another_keeps_nothing(checkout: Path) -> None:
    for name in ("laptop", "smoke"):
        assert put_in_place(name) == f"params.yaml is now the {name} preset"
        assert (checkout / "params.yaml").read_text() == (PRESETS / f"{name}.yaml").read_text()
    assert sorted(path.name for path in checkout.iterdir()) == ["dvc.yaml", "params.yaml"]


def test_every_params_file_of_ones_own_is_kept_once(checkout: Path) -> None:
    params = checkout / "params.yaml"
    kept = []
    for text in ("first: 1", "second: 2", "first: 1", "third: 3"):
        params.write_text(text)
        kept.append(put_in_place("smoke").rpartition(" ")[2])
    assert kept == ["params.yaml.bak", "params.yaml.bak.1", "params.yaml.bak", "params.yaml.bak.2"]
    texts = [(checkout / name).read_text() for name in dict.fromkeys(kept)]
    assert texts == ["first: 1", "second: 2", "third: 3"]


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file of this process grows beyond 100 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_preset_that_cannot_be_written_leaves_what_was_there(checkout: Path, little_room: None) -> None:
    (checkout / "params.yaml").write_text("mine: 1\n")
    with pytest.raises(OSError, match="File too large"):
        put_in_place("smoke")
    assert (checkout / "params.yaml").read_text() == "mine: 1\n"
    assert sorted(path.name for path in checkout.iterdir()) == ["dvc.yaml", "params.yaml", "params.yaml.bak"]


def write_log(checkout: Path, num_lines: int) -> None:
    (checkout / "texts").mkdir()
    (checkout / "texts" / "log.txt").write_text("".join(f"line {n} of {n * n}\n" for n in range(num_lines)))
    (checkout / "params.yaml").write_text("mine: 1\n")


def test_texts_that_are_too_short_leave_the_params_file_as_it_was(checkout: Path) -> None:
    write_log(checkout, 12_000)
    with pytest.raises(ValueError, match=r"^texts: 262 kB in 1 files leave .* the law needs 409,728: give about"):
        put_texts_in_place("laptop", ["texts"], "text", lambda line: None)
    assert (checkout / "params.yaml").read_text() == "mine: 1\n"
    assert sorted(path.name for path in checkout.iterdir()) == ["dvc.yaml", "params.yaml", "texts"]


def test_a_preset_on_ones_own_texts_has_what_they_afford(checkout: Path) -> None:
    write_log(checkout, 40_000)
    *_, last = put_texts_in_place("laptop", ["texts"], "text", lambda line: None)
    assert last == "params.yaml is now the laptop preset on these texts; what it said before is in params.yaml.bak"
    preset, made = load(PRESETS / "laptop.yaml"), load(checkout / "params.yaml")
    own = fit_to_texts(preset, ["texts"], "text", lambda line: None)
    assert own.grids["law"].how == "shorter"
    assert (made.corpus, made.validation) == (own.corpus, own.validation)
    for name, suite in preset.suites.items():
        afforded = own.grids[name].blocks if name in own.grids else suite.grid
        assert made.suites[name] == replace(suite, grid=tuple(block for block in afforded if block is not None))
    text = (checkout / "params.yaml").read_text()
    comments = [
        line for line in (PRESETS / "laptop.yaml").read_text().splitlines()[1:] if line.lstrip().startswith("#")
    ]
    assert comments
    assert all(line in text for line in comments)
    assert "\ndistillation: null # students of the teacher" in text
