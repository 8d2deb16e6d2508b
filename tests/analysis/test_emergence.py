"""Labels of simulated tables: what is sharp, what only looks so, and what the runs do not say."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.emergence import curve_values, label_table, scores_of
from experiments.bench.emergence_public import public_rows


def sigmoid(x, midpoint, width, low=0.1, high=0.9):
    return low + (high - low) * stats.logistic.cdf(x, loc=midpoint, scale=width / (2 * stats.logistic.ppf(0.9)))


def table(
    curve, num_scales=8, num_seeds=3, num_items=200, jitter=0.1, chance=0.1, seed=0, task="t", decades=4.0
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = np.repeat(np.linspace(18.0, 18.0 + decades, num_scales), num_seeds)
    share = np.clip(curve(x + jitter * rng.standard_normal(len(x))), 0, 1)
    return pd.DataFrame(
        {
            "task": task,
            "metric": "exact_match",
            "compute": 10**x,
            "seed": np.tile(np.arange(num_seeds), num_scales),
            "value": rng.binomial(num_items, share) / num_items,
            "num_items": num_items,
            "chance": chance,
        }
    )


def tables(curve, num, **options) -> pd.DataFrame:
    return pd.concat([table(curve, seed=seed, task=f"t{seed}", **options) for seed in range(num)], ignore_index=True)


def labels(curve, num=15, **options) -> list[str]:
    return [row["label"] for row in label_table(tables(curve, num, **options))["rows"]]


def row_of(curve, **options) -> dict:
    (row,) = label_table(table(curve, **options))["rows"]
    return row


def test_a_sharp_rise_is_emergent_and_found():
    rows = label_table(tables(lambda x: sigmoid(x, 20.1, 0.3), 15))["rows"]
    assert [row["label"] for row in rows].count("emergent") >= 13
    for row in rows:
        assert row["p_flat"] <= 0.05
        low, high = row["threshold_ci95"]
        assert low < row["threshold"] < high
        assert row["threshold"] == pytest.approx(10**20.1, rel=0.5)
        assert row["amplitude"] == pytest.approx(0.8, abs=0.06)
        ends = curve_values(row, np.array([1e18, 1e22]))
        assert ends == pytest.approx([0.1, 0.9], abs=0.05)
        # The curve is that of the mean over seeds: as many run ahead of the threshold as behind it.
        assert curve_values(row, np.array([10 ** row["curve"]["midpoint"]])) == pytest.approx([0.5], abs=0.05)
        assert "not in the table" in " ".join(row["diagnostics"])


@pytest.mark.parametrize(
    "curve",
    [
        lambda x: 0.1 + 0.8 * np.clip((x - 18) / 4, 0, 1),
        lambda x: 0.1 + 0.8 * np.clip((x - 18) / 4, 0, 1) ** 3,
        lambda x: sigmoid(x, 20.0, 2.0),
    ],
    ids=["line", "convex", "two decades"],
)
def test_a_wide_rise_is_smooth_and_never_emergent(curve):
    found = labels(curve)
    assert "emergent" not in found
    assert found.count("smooth") >= 13


def test_what_does_not_rise():
    assert "emergent" not in (flat := labels(lambda x: np.full_like(x, 0.1)))
    assert flat.count("flat") >= 12
    assert set(labels(lambda x: np.full_like(x, 0.98), num=6)) == {"saturated"}
    few = row_of(lambda x: np.full_like(x, 0.3), num_items=8, num_seeds=1, chance=0.25)
    assert few["label"] == "undetermined"
    assert "not excluded" in few["diagnostics"][0]
    falling = row_of(lambda x: sigmoid(-x, -20.0, 1.0))
    assert falling["label"] == "undetermined"
    assert falling["diagnostics"][0].startswith("scores fall")
    assert falling["threshold"] is None


def exact_match(log_likelihood, length=20, num=10) -> pd.DataFrame:
    """EM of `length` tokens whose log-likelihood is given in the same runs."""
    made = []
    for seed in range(num):
        rng = np.random.default_rng(seed)
        x = np.repeat(np.linspace(18.0, 22.0, 12), 3)
        seen = log_likelihood(x + 0.1 * rng.standard_normal(len(x)))
        frame = table(lambda x: x * 0, num_scales=12, chance=0.0, task=f"t{seed}")
        value = rng.binomial(200, np.exp(length * seen)) / 200
        made.append(frame.assign(value=value, continuous=seen + 0.01 * rng.standard_normal(len(x))))
    return pd.concat(made, ignore_index=True)


def test_a_rise_that_the_metric_makes_is_a_mirage():
    """A line in log(compute) until it ends: exact match of 20 tokens takes off within a fifth of a decade."""
    rows = label_table(exact_match(lambda x: -0.5 * np.log1p(np.exp((20.3 - x) * 8)) / 8))["rows"]
    found = [row["label"] for row in rows]
    assert "emergent" not in found
    assert found.count("mirage") >= 7
    assert all(row["p_sharp"] <= 0.05 and row["p_continuous"] is not None for row in rows if row["label"] == "mirage")


def test_a_jump_of_the_log_likelihood_is_no_mirage():
    rows = label_table(exact_match(lambda x: sigmoid(x, 20.0, 0.25, -1.5, -0.005)))["rows"]
    assert [row["label"] for row in rows].count("emergent") >= 9


@pytest.mark.parametrize(
    ("curve", "options", "reason"),
    [
        (lambda x: sigmoid(x, 20.1, 0.2, 0.1, 0.25), {"num_items": 2000}, "only 0.1"),
        (lambda x: sigmoid(x, 21.7, 0.1), {"num_items": 500, "num_seeds": 4}, "add scales above it"),
        (lambda x: sigmoid(x, 20.1, 0.2), {"chance": 0.5}, "not from the declared chance of 0.5"),
    ],
    ids=["low", "edge", "chance"],
)
def test_a_sharp_rise_that_lacks_something_says_what(curve, options, reason):
    row = row_of(curve, jitter=0.02, **options)
    assert row["p_sharp"] <= 0.05
    assert row["label"] == "undetermined"
    assert reason in " ".join(row["diagnostics"])


def test_too_few_scales_and_single_seeds_say_so():
    for num_scales in (1, 3):
        row = row_of(lambda x: sigmoid(x, 20, 0.2), num_scales=num_scales)
        assert row["label"] == "undetermined"
        assert row["diagnostics"] == [f"{num_scales} scales cannot show the shape of a rise: give 4 or more"]
        assert row["threshold"] is row["p_flat"] is None
    single = row_of(lambda x: sigmoid(x, 20.1, 0.2), num_seeds=1)
    assert "one run at every scale" in " ".join(single["diagnostics"])
    assert single["bimodality_p"] is None
    assert single["num_runs"] == single["num_scales"] == 8


@pytest.mark.parametrize("continuous", [-1.0, None], ids=["constant", "one"])
@pytest.mark.parametrize("decades", [2.0, 3.0, 4.0])
def test_a_counterpart_that_says_nothing(continuous, decades):
    frame = table(lambda x: sigmoid(x, 18 + decades / 2 + 0.1, 0.2), decades=decades)
    values = np.full(len(frame), np.nan if continuous is None else continuous)
    values[3] = -1.0
    (row,) = label_table(frame.assign(continuous=values))["rows"]
    assert row["p_sharp"] <= 0.05
    if continuous is None:
        assert row["label"] == "emergent"
        assert "too few scales" in row["diagnostics"][0]
    else:
        assert row["label"] == "undetermined"
        assert "counterpart" in row["diagnostics"][0]


@pytest.mark.parametrize(("score", "label"), [(0.0, "flat"), (1.0, "saturated")])
def test_scores_at_the_ends(score, label):
    frame = table(lambda x: np.full_like(x, score), chance=0.0).assign(params=lambda rows: rows["compute"] ** 0.5)
    (row,) = label_table(frame)["rows"]
    assert row["label"] == label
    assert row["axes"] == {}
    assert row["threshold"] is row["p_sharp"] is row["L"] is None


def test_seeds_that_fall_into_two_groups():
    frame = table(lambda x: sigmoid(x, 20.1, 0.3), num_seeds=8)
    broken = frame["value"].where((frame["compute"] < 1e20) | (frame["seed"] < 4), 0.1)
    (row,) = label_table(frame.assign(value=broken))["rows"]
    assert row["bimodality_p"] <= 0.01


def test_labels_depend_on_their_own_rows_alone():
    frame = tables(lambda x: sigmoid(x, 20.1, 0.5), 3)
    found = label_table(frame)["rows"]
    shuffled = label_table(frame.sample(frac=1.0, random_state=0))["rows"]
    by_task = {row["task"]: row for row in shuffled}
    for row in found:
        other = by_task[row["task"]]
        assert other["threshold"] == pytest.approx(row["threshold"])
        assert (other["label"], other["num_runs"]) == (row["label"], row["num_runs"])
    alone = label_table(frame[frame["task"] == "t1"])["rows"]
    assert alone == [found[1]]


def test_units_of_compute_do_not_matter():
    frame = table(lambda x: sigmoid(x, 20.1, 0.4))
    here, there = (label_table(part)["rows"][0] for part in (frame, frame.assign(compute=frame["compute"] * 1e-3)))
    assert there["threshold"] == pytest.approx(here["threshold"] * 1e-3, rel=1e-6)
    assert there["width_ci95"] == pytest.approx(here["width_ci95"], rel=1e-6)
    assert there["label"] == here["label"]


def test_other_axes():
    frame = table(lambda x: sigmoid(x, 20.1, 0.4))
    frame = frame.assign(params=(frame["compute"] / 6) ** 0.5, tokens=1e9, loss=1 + 1e3 * frame["compute"] ** -0.15)
    (row,) = label_table(frame)["rows"]
    assert set(row["axes"]) == {"params", "loss"}  # one token count has no threshold
    size, loss = row["axes"]["params"], row["axes"]["loss"]
    assert size["threshold"] == pytest.approx((row["threshold"] / 6) ** 0.5, rel=0.15)
    assert size["width_decades"] == pytest.approx(row["width_decades"] / 2, rel=0.3)
    assert loss["threshold"] == pytest.approx(1 + 1e3 * row["threshold"] ** -0.15, rel=0.05)
    assert loss["threshold_ci95"][0] < loss["threshold"] < loss["threshold_ci95"][1]


def test_checkpoints_of_a_run_are_training_time_not_replicates():
    tokens = np.geomspace(1e6, 1e9, 8)
    frames = []
    for index, compute in enumerate(np.geomspace(1e18, 1e22, 8)):
        share = sigmoid(np.log10(tokens), 7.5, 0.4) if index >= 4 else np.full(8, 0.1)
        value = np.random.default_rng(index).binomial(200, share) / 200
        part = {"task": "t", "metric": "em", "compute": compute * tokens / tokens[-1], "seed": 0, "tokens": tokens}
        frames.append(pd.DataFrame({**part, "value": value, "num_items": 200, "chance": 0.1, "run": f"r{index}"}))
    found = label_table(pd.concat(frames, ignore_index=True))
    (row,) = found["rows"]
    assert row["num_runs"] == row["num_scales"] == 8
    assert "56 earlier checkpoints" in " ".join(row["diagnostics"])
    places = {entry["run"]: entry["threshold"] for entry in found["training_time"]}
    assert [run for run, place in places.items() if place is not None] == ["r4", "r5", "r6", "r7"]
    assert places["r5"] == pytest.approx(10**7.5, rel=0.5)
    assert all(entry["axis"] == "tokens" and entry["num_checkpoints"] == 8 for entry in found["training_time"])


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("chance", 1.0, r"chance is 1 in line 4 .*\[0, 1\)"),
        ("chance", -0.1, r"chance is -0.1 in line 4"),
        ("value", 37.0, r"value is 37 in line 4 .*not per cent"),
        ("value", "high", r"value is 'high' in line 4 .*finite number"),
        ("value", None, r"value is empty in line 4"),
        ("num_items", 0, r"num_items is 0 in line 4 .*number of items"),
        ("compute", 0.0, r"compute is 0 in line 4 .*above zero"),
        ("task", None, r"task is empty in line 4"),
        ("chance", 0.2, r"chance of t exact_match is 0.1 and 0.2"),
    ],
)
def test_wrong_input_is_refused_in_a_line(column, value, said):
    frame = table(lambda x: sigmoid(x, 20, 0.5)).astype(object)
    frame.loc[2, column] = value
    with pytest.raises(ValueError, match=said):
        label_table(frame)


def test_missing_columns_and_rows_are_refused():
    frame = table(lambda x: sigmoid(x, 20, 0.5))
    with pytest.raises(ValueError, match="lacks the column num_items, chance; it has task"):
        scores_of(frame.drop(columns=["num_items", "chance"]))
    with pytest.raises(ValueError, match="no rows"):
        scores_of(frame[:0])


def test_metrics_without_a_chance_are_left_out_and_counted():
    share = table(lambda x: sigmoid(x, 20, 0.5))
    lines = len(share)
    nats = share.assign(metric="logprob", value=-3.0, chance=None, num_items=None)
    choices = share.assign(metric="choice_logprob", value=-0.7, chance=-math.log(2))
    endless = share.assign(metric="perplexity", value=math.inf, chance=None)
    frame = pd.concat([nats, share, choices, endless]).assign(ability="a", style="steps", kind="reasoning")
    found = label_table(frame)
    assert [row["metric"] for row in found["rows"]] == ["exact_match"]
    assert found["rows"] == label_table(share)["rows"]
    assert found["left_out"] == {"logprob": lines, "choice_logprob": lines, "perplexity": lines}
    assert label_table(share)["left_out"] == {}
    scores = scores_of(frame)
    assert len(scores) == lines
    assert set(scores[["ability", "style", "kind"]].itertuples(index=False, name=None)) == {("a", "steps", "reasoning")}


def test_a_forgotten_chance_is_refused_by_name():
    share = table(lambda x: sigmoid(x, 20, 0.5))
    with pytest.raises(ValueError, match=r"chance is empty in every row of exact_match, .* give the score of guessing"):
        label_table(share.assign(chance=None))
    with pytest.raises(ValueError, match="every row of brier"):
        label_table(share.assign(metric="brier"))
    # A task without a chance whose metric has one elsewhere; lines are those of the file.
    some = pd.concat([share.assign(metric="logprob", chance=None), share, share.assign(task="u", chance=None)])
    with pytest.raises(ValueError, match=rf"chance is empty in line {2 * len(share) + 2} \({len(share)} such rows\)"):
        label_table(some)


def test_public_models_show_no_sharp_rise(reference_data):
    """BIG-bench tasks of models from many families: over families every rise takes a decade or more."""
    rows = public_rows(reference_data)
    assert len(rows) == 8
    assert "emergent" not in {row["label"] for row in rows}
    for row in rows:
        assert row["p_sharp"] > 0.05
        assert row["pooled_width_decades"] >= 1.0
        assert row["num_runs"] >= 60
    by_task = {(row["task"], row["metric"]): row for row in rows}
    unscramble = by_task["word_unscrambling", "exact_match"]
    assert unscramble["label"] == "smooth"
    assert unscramble["pooled_width_decades"] == pytest.approx(2.0, abs=0.3)
