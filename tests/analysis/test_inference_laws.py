"""Laws, crossovers and compositions of inference: what a stated cost model put into a table is found in it."""

import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from analysis.inference import analyse, law_values
from analysis.inference.compositions import verdicts
from analysis.inference.crossovers import crossovers
from analysis.inference.forms import Points, choose
from analysis.inference.members import law_in_params, predict_largest
from analysis.inference.pooled import Pool, pooled_law
from analysis.inference.rows import turn_noise
from tests.analysis.inference_rows import (
    ACCEPTANCE,
    CONTESTS,
    DETECTABLE,
    KL,
    SIZES,
    WAYS,
    Costs,
    composition,
    head,
    inference_table,
    params_of,
    turns,
)

Truth = Callable[[np.ndarray], np.ndarray]


def power(slope: float) -> Truth:
    return lambda params: 0.3 + slope * np.log(params / 1e5)


def costs(b: float, c: float) -> Truth:
    return lambda params: 0.2 + np.log1p(b * params / 2e5) - np.log1p(c * params / 2e5)


def simulated(truth: Truth, num: int, noise: float, rng: np.random.Generator, told_share: float = 1.0) -> Points:
    """Sizes that double; the noise told is that of nine turns, hence known to a third, or only a share of it.

    What is peculiar to a member no turn of it shows.
    """
    params = np.geomspace(5e4, 5e4 * 2.1 ** (num - 1), num)
    told = told_share * noise * np.sqrt(rng.chisquare(8, num) / 8)
    return Points(params, truth(params) + noise * rng.standard_normal(num), told)


def coverage(truth: Truth, num_smaller: int, noise: float, repeats: int, told_share: float = 1.0) -> float:
    """How often the largest member's measured ratio lies in its 90% interval."""
    rng = np.random.default_rng(0)
    tables = (simulated(truth, num_smaller + 1, noise, rng, told_share) for _ in range(repeats))
    return float(np.mean([held["inside"] for held in (predict_largest(points)[0] for points in tables) if held]))


def of(laws: list[dict], law: str, **shared: object) -> dict:
    (one,) = [row for row in laws if row["law"] == law and shared.items() <= row.items()]
    return one


@pytest.fixture(scope="module")
def table() -> dict:
    return inference_table()


@pytest.fixture(scope="module")
def found(table: dict) -> dict:
    return json.loads(json.dumps(analyse(table), allow_nan=False))


@pytest.mark.parametrize(("num_smaller", "told_share"), [(4, 1.0), (4, 0.2), (6, 0.2)])
def test_the_largest_is_inside_its_interval_about_as_often_as_promised(num_smaller: int, told_share: float) -> None:
    # The standard error of 200 at 90% is 2.1%; the form is chosen anew in every one.
    for truth in (power(0.0), power(0.15)):
        assert coverage(truth, num_smaller, 0.02, 200, told_share) > 0.84


def test_an_interval_is_no_wider_than_it_must_be() -> None:
    rng = np.random.default_rng(1)
    told = [predict_largest(simulated(power(0.15), 5, 0.02, rng))[0] for _ in range(200)]
    # Two coefficients on four members leave two degrees of freedom: Student's 2.92 on 2% and the extrapolation.
    half = np.median([held["half_width_share"] for held in told if held])
    assert 0.05 < half < 0.15


def test_nothing_of_the_largest_is_used_but_its_noise() -> None:
    points = simulated(power(0.15), 6, 0.02, np.random.default_rng(2))
    moved = points.log_value_M.copy()
    moved[-1] += 5.0
    told, other = (
        law_in_params(Points(points.params_M, values, points.noise_M))["heldout"]
        for values in (points.log_value_M, moved)
    )
    assert told["inside"]
    assert not other["inside"]
    for name in ("prediction", "interval", "form", "leave_one_out", "num_fitted"):
        assert told[name] == other[name]
    # A noisier largest is predicted with a wider interval.
    loud = Points(points.params_M, points.log_value_M, np.append(points.noise_M[:-1], 0.2))
    assert law_in_params(loud)["heldout"]["half_width_share"] > 2 * told["half_width_share"]


def test_coefficients_lie_in_their_intervals_at_the_nominal_rate() -> None:
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(250):
        law = law_in_params(simulated(power(0.15), 6, 0.03, rng, told_share=0.2))
        if law["form"] == "power":
            low, high = law["coefficients"]["b"]["ci95"]
            inside.append(low <= 0.15 <= high)
    assert len(inside) > 120
    assert 0.91 < np.mean(inside) < 0.995


def test_a_bend_is_told_from_a_power() -> None:
    rng = np.random.default_rng(4)
    chosen = [
        [choose(simulated(truth, 7, 0.01, rng))[0].form for _ in range(40)] for truth in (costs(3, 0.2), power(0.3))
    ]
    assert chosen[0].count("costs") > 36
    assert chosen[1].count("power") > 30
    assert [choose(simulated(power(0.0), 6, 0.01, rng))[0].form for _ in range(60)].count("constant") > 30


def test_costs_of_both_sides_are_found_again() -> None:
    rng = np.random.default_rng(5)
    for b, c in ((3.0, 0.3), (0.1, 2.0)):
        exact = simulated(costs(b, c), 8, 1e-7, rng)
        law = law_in_params(exact)
        assert law["form"] == "costs"
        told = [law["coefficients"][name]["value"] * 2e5 / law["reference_params"] for name in ("b", "c")]
        assert told == pytest.approx([b, c], rel=0.05)
        np.testing.assert_allclose(law_values(law, exact.params_M), np.exp(exact.log_value_M), rtol=1e-3)


def test_laws_of_a_table_follow_the_costs(found: dict) -> None:
    for technique, truth in CONTESTS.items():
        for prompt, output, batch in ((32, 64, 1), (128, 64, 1), (32, 64, 8)):
            law = of(found["laws"], "speed", technique=technique, prompt=prompt, output=output, batch=batch)
            params = np.array([point["params"] for point in law["points"]])
            expected = [truth.ratio(size, prompt, batch) for size in params]
            np.testing.assert_allclose(law_values(law, params), expected, rtol=0.06)
            assert law["num_members"] == len(SIZES)
            assert law["heldout"]["num_fitted"] == len(SIZES) - 1
    held = [law["heldout"] for law in found["laws"] if law["law"] == "speed" and law["heldout"]]
    assert sum(one["inside"] for one in held) >= 0.8 * len(held)


def test_random_weights_and_failed_checks_are_in_no_law(table: dict) -> None:
    rows = [
        {**row, "status": "incorrect"} if row["params"] == params_of(24, 3) and row["technique"] == "kv-cache" else row
        for row in table["rows"]
    ]
    law = of(analyse(table | {"rows": rows})["laws"], "speed", technique="kv-cache", prompt=128)
    assert [point["params"] for point in law["points"]] == sorted(params_of(*size) for size in SIZES)[1:]


def member_pool(rng: np.random.Generator, num: int = 6) -> Pool:
    """ln KL = -0.3 ln N + 0.2 ln D with what is peculiar to a member and to a row."""
    sizes, tokens = np.repeat(np.log(np.geomspace(5e4, 2e6, num)), 3), np.tile(np.log([1e6, 4e6, 16e6]), num)
    own = np.repeat(0.05 * rng.standard_normal(num), 3) + 0.03 * rng.standard_normal(3 * num)
    return Pool(
        {"params": sizes, "tokens": tokens}, -0.3 * sizes + 0.2 * tokens + own, np.zeros(3 * num), np.exp(sizes)
    )


def pooled_rates(repeats: int) -> tuple[float, float, float]:
    """Share of intervals that hold each coefficient, and of rows of the largest member inside theirs."""
    rng = np.random.default_rng(6)
    inside: list[list[bool]] = [[], []]
    held = []
    for _ in range(repeats):
        law = pooled_law(member_pool(rng))
        for place, (name, value) in enumerate((("params", -0.3), ("tokens", 0.2))):
            low, high = law["coefficients"][name]["ci95"]
            inside[place].append(low <= value <= high)
        held.append(law["heldout"]["num_inside"] / 3)
    return float(np.mean(inside[0])), float(np.mean(inside[1])), float(np.mean(held))


def test_pooled_coefficients_lie_in_intervals_that_leave_members_out() -> None:
    by_size, by_tokens, held = pooled_rates(200)
    assert 0.91 < by_size <= 1
    assert 0.91 < by_tokens <= 1
    assert held > 0.86


def test_quality_and_acceptance_are_found_again(found: dict) -> None:
    for technique, (_, by_size, by_tokens) in KL.items():
        law = of(found["laws"], "quality-pooled", technique=technique)
        for name, value in (("params", by_size), ("tokens", by_tokens)):
            low, high = law["coefficients"][name]["ci95"]
            assert low - 0.02 < value < high + 0.02
            assert high - low < 0.15
    law = of(found["laws"], "acceptance", rate="greedy")
    assert law["members"] == "target_params"
    assert law["baseline_way"] == "data alone"
    assert law["num_left_out"] == 0
    truths = {"constant": ACCEPTANCE[0], "size_ratio": ACCEPTANCE[1], **WAYS}
    for name, value in truths.items():
        entry = law["coefficients"][name]
        assert entry["value"] == pytest.approx(value, abs=0.12)
        assert entry["ci95"][1] - entry["ci95"][0] < 0.4


def test_axes_that_move_together_are_named_not_guessed(table: dict) -> None:
    for row in (rows := [dict(row) for row in table["rows"]]):
        row["tokens"] = 20 * row["params"]
    law = of(analyse(table | {"rows": rows})["laws"], "speed-pooled", technique="kv-cache")
    assert law["dropped"] == {"tokens": "follows from the other axes"}
    assert set(law["coefficients"]) == {"constant", "params", "batch", "prompt"}
    for row in rows:
        row["tokens"] = 4_000_000 if row["params"] != params_of(24, 3) else 1_000_000 * row["batch"]
    law = of(analyse(table | {"rows": rows})["laws"], "speed-pooled", technique="kv-cache")
    assert law["dropped"] == {"tokens": "one member alone tells it"}


@pytest.mark.parametrize("num_sizes", [1, 2, 3, 4])
def test_a_small_table_says_what_it_lacks(num_sizes: int) -> None:
    told = analyse(inference_table(SIZES[:num_sizes]))
    json.dumps(told, allow_nan=False)
    law = of(told["laws"], "speed", technique="kv-cache", prompt=128)
    assert law["heldout"] is None
    if num_sizes < 3:
        named = f"{num_sizes} trained member" + "s" * (num_sizes > 1)
        assert law["reason"] == f"{named}: a law in N needs 3, add sizes"
        assert law["form"] is law["coefficients"] is None
    else:
        assert law["form"] in ("constant", "power")
        assert law["heldout_reason"].startswith(f"{num_sizes - 1} members below the largest: a prediction needs 4")


def test_a_table_without_parts_is_read_or_refused(table: dict) -> None:
    bare = {"rows": [], "control": table["control"]}
    assert analyse(bare) == {"laws": [], "crossovers": [], "compositions": []}
    with pytest.raises(ValueError, match=r"^the table has no 'control': give what `scalelab bench inference --json`"):
        analyse({"rows": []})


def test_crossovers_are_where_the_costs_put_them(found: dict) -> None:
    along = [line for line in found["crossovers"] if line["axis"] == "params" and line["technique"] == "bfloat16"]
    assert len(along) == 3
    for line in along:
        (one,) = line["crossings"]
        assert line["status"] == "crosses"
        assert one["at"] == pytest.approx(0.6e6, rel=0.12)
        assert one["between"][0] < one["ci95"][0] <= one["at"] <= one["ci95"][1] < one["between"][1]
    for technique, axis in (("kv-cache", "params"), ("static-cache", "prompt"), ("kv-cache", "batch")):
        own = [line for line in found["crossovers"] if (line["technique"], line["axis"]) == (technique, axis)]
        assert own
        assert {line["status"] for line in own} == {"always faster"}
    batches = [
        line for line in found["crossovers"] if line["axis"] == "batch" and line["technique"] == "int8-weight-only"
    ]
    truth = CONTESTS["int8-weight-only"]
    for line in batches:
        crosses = truth.ratio(line["params"], 32, 8) < 1 / DETECTABLE
        assert (line["status"] == "crosses") == crosses


def line_of(truth: Callable[[float], float], rng: np.random.Generator, noise: float = 0.03) -> list[dict]:
    """Rows of five batches, one member."""
    return [
        head("bfloat16", "precision", "float32", (64, 4), (32, 64, batch))
        | turns(math.exp(truth(math.log(batch))), noise, rng)
        | {"status": "ok"}
        for batch in (1, 2, 4, 8, 16)
    ]


def test_a_crossover_lies_in_its_interval_at_about_the_nominal_rate() -> None:
    rng = np.random.default_rng(7)
    inside = []
    for seed in range(120):
        (line,) = crossovers(line_of(lambda x: 0.25 * (x - math.log(5.5)), rng), DETECTABLE, seed)
        (one,) = line["crossings"]
        inside.append(one["ci95"][0] <= 5.5 <= one["ci95"][1])
    assert 0.87 < np.mean(inside) <= 1


@pytest.mark.parametrize("num_turns", [7, 13, 31])
@pytest.mark.parametrize("tails", ["normal", "heavy"])
def test_the_noise_of_a_row_is_its_medians(num_turns: int, tails: str) -> None:
    """On average over rows; of seven turns with heavy tails the bootstrap of their median is wide, never narrow."""
    rng = np.random.default_rng(9)
    shape = (400, num_turns)
    log_turns = 0.1 * (rng.standard_normal(shape) if tails == "normal" else rng.standard_t(3, shape))
    rows = [
        {"technique": "kv-cache", "model": str(number), "ratio": 1.0, "seconds": seconds}
        for number, own in enumerate(log_turns)
        for seconds in [{"baseline": np.exp(own).tolist(), "technique": [1.0] * num_turns}]
    ]
    told = np.sqrt(np.mean([turn_noise(row) ** 2 for row in rows]))
    assert 0.95 < told / np.median(log_turns, axis=1).std() < 1.5


def test_a_row_without_its_turns_is_refused() -> None:
    with pytest.raises(ValueError, match="the row of kv-cache on m has no seconds: measure it again"):
        turn_noise({"technique": "kv-cache", "model": "m", "ratio": 1.0})


def test_several_rows_at_a_place_count_by_their_own_intervals() -> None:
    """Of a mean of two as wide over the root of two; turns drawn again would make it narrower than either says."""
    rng = np.random.default_rng(10)
    rows = line_of(lambda x: 0.4 + 0 * x, rng)
    twice = [row | {"ci95": [row["ratio"] / 1.2, row["ratio"] * 1.2]} for row in [*rows, *rows]]
    (line,) = crossovers(twice, DETECTABLE)
    for point in line["points"]:
        low, high = point["ci95"]
        assert math.log(high / low) == pytest.approx(2 * math.log(1.2) / math.sqrt(2))


def test_a_point_counts_by_its_rows_own_interval() -> None:
    """The turns drawn again leave out 1, the row's interval does not: nothing is said of it."""
    rng = np.random.default_rng(0)
    rows = line_of(lambda x: 0.4 + 0 * x, rng)
    (line,) = crossovers(rows, DETECTABLE)
    assert line["status"] == "always faster"
    for row in rows:
        row["ci95"] = [0.98, row["ci95"][1]]
    (line,) = crossovers(rows, DETECTABLE)
    assert line["status"] == "undetermined"
    assert [point["ci95"] for point in line["points"]] == [pytest.approx(row["ci95"]) for row in rows]


def test_a_line_that_never_passes_1_surely_has_no_crossover() -> None:
    rng = np.random.default_rng(8)

    def status(truth: Callable[[float], float]) -> tuple[str, int]:
        (line,) = crossovers(line_of(truth, rng), DETECTABLE)
        return line["status"], len(line["crossings"])

    assert status(lambda x: 0.3 + 0 * x) == ("always faster", 0)
    assert status(lambda x: -0.3 + 0 * x) == ("always slower", 0)
    # Within what the control cannot tell from 1, though the intervals leave it out.
    assert status(lambda x: 0.02 + 0 * x) == ("undetermined", 0)
    assert status(lambda x: 0.3 - 0.3 * (x > 2.5)) == ("undetermined", 0)
    assert status(lambda x: 0.4 if 0.5 < x < 2.5 else -0.4) == ("crosses repeatedly", 2)


def test_compositions_are_told_apart() -> None:
    cases = [
        ((1.0, 0.02), "product"), ((1.02, 0.015), "product"), ((0.71, 0.05), "less"), ((1.2, 0.06), "more"),
        ((1.0, 0.2), "undetermined"), ((1.03, 0.02), "undetermined"),
    ]  # fmt: skip
    rows = [composition("a", "b", (1.5, 1.2), *case) for case, _ in cases]
    assert [row["verdict"] for row in verdicts(rows, DETECTABLE)] == [verdict for _, verdict in cases]
    failed = {**rows[0], "status": "incorrect", "synergy": None, "synergy_ci95": None}
    assert verdicts([failed], DETECTABLE)[0]["verdict"] == "incorrect"


@pytest.mark.proof
def test_intervals_of_the_largest_hold_over_forms_noise_and_numbers() -> None:
    """Nominal 90%. A bend that the smaller members cannot show is what no interval of theirs can hold."""
    for truth, least_smaller in ((power(0.0), 4), (power(0.05), 4), (power(0.2), 4), (costs(10, 0.2), 6)):
        for num_smaller in (4, 6, 8):
            for noise, told_share in ((0.01, 1.0), (0.03, 0.2)):
                held = coverage(truth, num_smaller, noise, 500, told_share)
                assert held > 0.82 or num_smaller < least_smaller
    by_size, by_tokens, held = pooled_rates(1000)
    assert min(by_size, by_tokens) > 0.93
    assert held > 0.88


def test_the_cost_model_of_these_tests_is_what_it_says() -> None:
    assert CONTESTS["bfloat16"].ratio(0.6e6) == pytest.approx(1.0)
    assert Costs("", "", (2.0, 1.0), (1.0, 1.0)).ratio(1e12) == pytest.approx(1.0, abs=1e-5)
