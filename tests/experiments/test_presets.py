"""`scalelab use`: another params.yaml, and what becomes of one's own."""

from pathlib import Path

import pytest

from experiments.presets import PRESETS, put_in_place


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
