"""`forecast` and `design` on a law file: what they say, and what they say of files that hold no law."""

import itertools
import json

import numpy as np
import pytest

from analysis.laws import HOFFMANN, Fitted


@pytest.fixture
def forecaster(newcomer, law_path):
    """A newcomer with a law."""
    (newcomer.path / "law.json").write_text(law_path.read_text())
    return newcomer


def test_a_forecast_keeps_to_its_budget(forecaster, newcomers_law):
    found = forecaster.result("forecast", "law.json", "--flops", "1e22")
    assert {"params", "tokens", "loss", "pi95", "params_ci95", "tokens_ci95", "flops"} <= set(found)
    assert 6 * found["params"] * found["tokens"] == pytest.approx(1e22)
    best_params, best_tokens = newcomers_law.optimal(1e22)
    low, high = found["pi95"]
    assert low < float(newcomers_law.loss(best_params, best_tokens)) < high
    assert low < found["loss"] < high
    for name, value in (("params", best_params), ("tokens", best_tokens)):
        low, high = found[f"{name}_ci95"]
        assert low < float(value) < high
    assert found["warnings"] == []


def test_forecasts_further_out_are_less_certain_and_say_so(forecaster):
    budgets = ("1e20", "1e22", "1e24", "1e26")
    found = [forecaster.result("forecast", "law.json", "--flops", flops) for flops in budgets]
    widths = [np.log(f["pi95"][1] / f["pi95"][0]) for f in found]
    assert widths == sorted(widths)
    assert widths[-1] > 1.5 * widths[0]
    losses = [f["loss"] for f in found]
    assert losses == sorted(losses, reverse=True)
    assert [bool(f["warnings"]) for f in found] == [False, False, True, True]


def test_a_run_or_half_of_one_can_be_named(forecaster, law):
    fitted = Fitted.of(HOFFMANN, law["params"])
    run = forecaster.result("forecast", "law.json", "--params", "1e9", "--tokens", "2e10")
    assert run["loss"] == pytest.approx(float(fitted.loss(1e9, 2e10)))
    assert (run["params"], run["tokens"], run["tokens_per_param"]) == (1e9, 2e10, 20)
    for given, other in (("params", "tokens"), ("tokens", "params")):
        half = forecaster.result("forecast", "law.json", "--flops", "6e19", f"--{given}", "1e9")
        assert (half[given], half[other]) == (1e9, pytest.approx(1e10))
    best = forecaster.result("forecast", "law.json", "--flops", "6e19")
    assert best["loss"] < half["loss"]


def test_serving_asks_for_a_smaller_model_trained_longer(forecaster):
    alone = forecaster.result("forecast", "law.json", "--flops", "1e21")
    served = [
        forecaster.result("forecast", "law.json", "--flops", "1e21", "--tokens-served", tokens)
        for tokens in ("1e9", "1e11", "1e12")
    ]
    sizes = [found["params"] for found in (alone, *served)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)
    for found in served:
        spent = 6 * found["params"] * found["tokens"] + 2 * found["params"] * found["tokens_served"]
        assert spent == pytest.approx(1e21)
    assert served[-1]["tokens_per_param"] > 2 * alone["tokens_per_param"]


def test_forecast_and_design_speak(forecaster):
    code, out, err = forecaster.scalelab("forecast", "law.json", "--flops", "1e25")
    assert (code, err) == (0, "")
    assert out.startswith("loss ")
    assert "\nwarning: " in out
    code, out, err = forecaster.scalelab("design", "law.json", "--budget", "1e21", "--runs", "2")
    assert (code, err) == (0, "")
    assert out.startswith("to narrow the forecast at 1.2e+22 FLOPs:\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--flops is missing: give a budget, or a run by --params and --tokens"),
        (("--params", "1e9"), "--flops is missing"),
        (("--tokens-served", "1e9"), "--flops is missing"),
        (("--tokens-served", "1e9", "--params", "1e9", "--tokens", "1e9"), "--flops is missing"),
        (("--flops", "1e21", "--tokens-served", "1e9", "--params", "1e9"), "leave --params and --tokens out"),
        (("--flops", "1e21", "--params", "1e9", "--tokens", "1e9"), "leave one out"),
        (("--flops", "1e21", "--tokens-served", "1e30"), "give larger --flops or serve less"),
        (("--flops=-1",), "--flops is -1.0: give a number above 0"),
        (("--flops", "nan"), "--flops is nan"),
        (("--flops", "inf"), "--flops is inf"),
        (("--params", "0", "--tokens", "1e9"), "--params is 0.0"),
    ],
)
def test_forecasts_of_nothing_are_refused(arguments, message, forecaster):
    assert message in forecaster.refusal("forecast", "law.json", *arguments)


def test_a_law_file_that_is_not_there(newcomer):
    (newcomer.path / "folder").mkdir()
    for path in ("nowhere.json", "folder"):
        said = newcomer.refusal("forecast", path, "--flops", "1e21")
        assert f"{path} is no file; write one with `scalelab fit POINTS.csv --json LAW.json`" in said


@pytest.mark.parametrize("verb", [("forecast", "--flops", "1e21"), ("design", "--budget", "1e21")])
@pytest.mark.parametrize(
    "content", [b"L = E + A/N^alpha", b"", b"[1]", b"3", b"null", b'"law"', b"\xff\xfe\x00", b"{}"]
)
def test_files_that_hold_no_law_are_refused(content, verb, newcomer):
    (newcomer.path / "law.json").write_bytes(content)
    said = newcomer.refusal(verb[0], "law.json", *verb[1:])
    assert "`scalelab fit" in said


@pytest.mark.parametrize(
    "damage",
    [
        {"draws": []},
        {"draws": ["1 2"]},
        {"draws": ["1 2 3 4 5", "1 2 3"]},
        {"draws": [1, 2]},
        {"draws": None},
        {"draws": ["nan 1 1 1 1"]},
        {"noise": {}},
        {"noise": []},
        {"params": {}},
        {"params": dict.fromkeys("ABE", -1.0) | {"alpha": 0.3, "beta": 0.3}},
        {"range": {}},
        {"range": {"params": [0, 1], "tokens": [1, 2], "flops": [1, 2]}},
        {"bootstrap": []},
        {"law": "chinchilla"},
        {"law": ["hoffmann"]},
    ],
)
def test_damaged_law_files_are_refused(damage, newcomer, law):
    (newcomer.path / "law.json").write_text(json.dumps(law | damage))
    assert "scalelab fit --json" in newcomer.refusal("forecast", "law.json", "--flops", "1e21")


@pytest.mark.parametrize("key", ["law", "params", "draws", "noise", "bootstrap", "range"])
def test_law_files_without_a_part_are_refused(key, newcomer, law):
    (newcomer.path / "law.json").write_text(json.dumps({name: value for name, value in law.items() if name != key}))
    said = newcomer.refusal("forecast", "law.json", "--flops", "1e21")
    assert said == f"scalelab: law: the file has no {key}: give one that `scalelab fit --json` wrote"


def test_a_law_of_one_column_forecasts_no_budget(table, newcomer):
    table[table["params"] == table["params"].min()].to_csv("runs.csv", index=False)
    law = newcomer.result("fit", "runs.csv", "--law", "fixed-n", "--bootstrap", "100")
    assert (law["exponents"], law["num_sizes"]) == ({}, 1)
    (newcomer.path / "law.json").write_text(json.dumps(law))
    for verb in (("forecast", "law.json", "--flops", "1e21"), ("design", "law.json", "--budget", "1e21")):
        assert newcomer.refusal(*verb).endswith(
            "no law of params and tokens alone: fit hoffmann, kaplan or interaction"
        )


@pytest.mark.parametrize(("budget", "runs"), [("1e21", "3"), ("1e19", "1"), ("3e18", "6")])
def test_designed_runs_keep_to_their_budget_and_each_narrows_the_forecast(budget, runs, forecaster):
    found = forecaster.result("design", "law.json", "--budget", budget, "--runs", runs, "--flops", "1e23")
    assert (found["forecast_flops"], len(found["runs"])) == (1e23, int(runs))
    for run in found["runs"]:
        assert run["flops"] == pytest.approx(6 * run["params"] * run["tokens"])
    assert sum(run["flops"] for run in found["runs"]) <= float(budget) * (1 + 1e-9)
    left = [1.0, *(run["remaining_sd"] for run in found["runs"])]
    assert all(later < earlier for earlier, later in itertools.pairwise(left))


def test_a_budget_too_small_names_one_that_is_not(forecaster):
    said = forecaster.refusal("design", "law.json", "--budget", "1e10")
    assert said.startswith("scalelab: budget 1e+10 does not pay for 3 runs: give ")
    enough = said.split("give ")[1].split()[0]
    assert len(forecaster.result("design", "law.json", "--budget", enough)["runs"]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--budget", "nan"), "--budget is nan: give a number above 0"),
        (("--budget", "1e21", "--runs", "0"), "--runs is 0: give a number above 0"),
        (("--budget", "1e21", "--flops", "0"), "--flops is 0.0: give a number above 0"),
    ],
)
def test_designs_of_nothing_are_refused(arguments, message, forecaster):
    assert message in forecaster.refusal("design", "law.json", *arguments)
