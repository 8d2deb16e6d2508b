"""`scalelab sync` of a project as it is."""


def test_a_suite_whose_data_are_not_there_is_left_out_and_named(trained, workplace) -> None:
    workplace.copy_runs(trained)
    workplace.set("abilities", {"documents": 100, "items": 4, "shares": {"text": 1, "parity": 2}})
    workplace.set("suites.emergence", {**workplace.tree["suites"]["law"], "data": "abilities"})
    done = workplace.scalelab("sync")
    assert done.returncode == 0, done.stderr
    assert "emergence is left out: data/abilities/tokens holds no documents: run `dvc repro abilities`\n" in done.stderr
    assert "1 cells in MLflow, 1 updated now" in done.stdout
