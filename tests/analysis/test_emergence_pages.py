"""What a user sees of emergence: every number of a figure is one of the table or of its labels."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from playwright.sync_api import Page, expect

from analysis.emergence import label_table, read_scores
from analysis.emergence.forecast import forecast_table
from analysis.emergence_curves import with_curves
from analysis.figures_emergence import map_of_scores, scatter_of_seeds, scores_by_metric
from analysis.figures_foreseen import forecasts
from analysis.figures_steps import samples_at_test_time, steps_against_direct
from analysis.figures_thresholds import thresholds
from analysis.page import write_page
from analysis.pages_emergence import emergence_page, emergence_sections
from analysis.report import Group, write_report
from analysis.wording_emergence import detector_sentence, forecast_sentences, interval, label_sentence
from tests.analysis.emergence_runs import ABILITIES, emergence_runs
from tests.analysis.test_pages import texts
from tests.browsing import complaints_of, see_all

METRICS = ["exact_match", "logprob_per_char", "edit_similarity", "acc", "brier"]
NAMES = [f"{ability.name} {ability.style}" for ability in ABILITIES]


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return emergence_runs()


@pytest.fixture(scope="module")
def found(runs: pd.DataFrame) -> dict:
    """Labels of accuracy and of the exact match of answers, read back from JSON as a page reads them."""
    labelled = runs[runs["task"].isin([*map(task_of, NAMES), "scalelab_parity_direct_choice"])]
    labelled = labelled[labelled["metric"].isin(["exact_match", "acc"])]
    return json.loads(json.dumps(label_table(labelled, {"emergence_scores.csv": "digest"})))


def task_of(name: str) -> str:
    """Whose exact match is that of the answer."""
    return f"scalelab_{name.replace(' ', '_')}" + "_generate" * name.endswith("steps")


def exact_match(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    return runs[(runs["task"] == task_of(name)) & (runs["metric"] == "exact_match")]


def label_of(found: dict, name: str) -> dict:
    (row,) = [row for row in found["rows"] if row["task"] == task_of(name)]
    return row


def traces(figure: go.Figure | None, name: str) -> list:
    assert figure is not None
    return [trace for trace in figure.data if trace.name == name]


@pytest.fixture(scope="module")
def foreseen(runs: pd.DataFrame, found: dict) -> dict:
    """The same with the forecast of the tasks that have log-likelihoods."""
    rows = runs[runs["metric"].isin(["exact_match", "acc"])]
    labels = {(row["task"], row["metric"]): row["label"] for row in found["rows"]}
    return json.loads(json.dumps(found | {"forecast": forecast_table(rows, labels)}))


def test_every_run_is_a_dot_and_every_scale_a_mean(runs: pd.DataFrame, found: dict) -> None:
    figure = scores_by_metric(runs, found)
    other = (runs["metric"] == "exact_match") & ~runs["task"].isin(list(map(task_of, NAMES)))
    shown = runs[runs["metric"].isin(METRICS) & ~other]
    dots = sorted((x, y) for trace in traces(figure, "a run") for x, y in zip(trace.x, trace.y, strict=True))
    assert dots == sorted(zip(shown["compute"], shown["value"], strict=True))
    means = sorted(y for trace in traces(figure, "mean over seeds") for y in trace.y)
    np.testing.assert_allclose(means, sorted(shown.groupby(["task", "metric", "compute"])["value"].mean()))
    chances = {float(trace.y[0]) for trace in traces(figure, "chance")}
    assert chances == set(shown["chance"].dropna())
    assert sum(bool(trace.showlegend) for trace in figure.data) == 4


def test_thresholds_are_marked_where_the_labels_put_them(runs: pd.DataFrame, found: dict) -> None:
    figure = scores_by_metric(runs, found)
    placed = [row for row in found["rows"] if row["threshold"] is not None]
    low, high = runs["compute"].min() / 1.5, runs["compute"].max() * 1.5
    lines = sorted(shape.x0 for shape in figure.layout.shapes if shape.type == "line")
    assert lines == sorted(row["threshold"] for row in placed if low <= row["threshold"] <= high)
    bands = sorted((shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "rect")
    ends = [(row["threshold_ci95"][0] or low, row["threshold_ci95"][1] or high) for row in placed]
    np.testing.assert_allclose(bands, sorted(np.clip(ends, low, high).tolist()))
    assert len(lines) >= 4
    # The curve stands half way up at its threshold.
    for row, trace in zip(found["rows"], traces(figure, "fitted curve"), strict=True):
        if row["label"] == "emergent":
            half = np.interp(np.log10(row["threshold"]), np.log10(trace.x), trace.y)
            assert half == pytest.approx((min(trace.y) + max(trace.y)) / 2, abs=0.06)


def test_titles_carry_the_labels(runs: pd.DataFrame, found: dict) -> None:
    said = [note.text for note in scores_by_metric(runs, found).layout.annotations]
    for name in NAMES:
        label = label_of(found, name)["label"]
        assert any(f"<b>{name}</b>" in text and text.endswith(f">{label}</span>") for text in said), name
    assert label_of(found, "induction direct")["label"] == label_of(found, "parity steps")["label"] == "emergent"
    assert label_of(found, "transform direct")["label"] == "smooth"


def test_axis_of_thresholds_has_every_interval(runs: pd.DataFrame, found: dict) -> None:
    figure = thresholds(runs, found)
    drawn = [trace for trace in figure.data if trace.mode == "markers"]
    for place, field, ends in (("x", "threshold", "threshold_ci95"), ("x2", "width_decades", "width_ci95")):
        seen = {}
        for trace in (trace for trace in drawn if trace.xaxis == place):
            above, below = trace.error_x.array or (), trace.error_x.arrayminus or ()
            for x, name, high, low in zip(trace.x, trace.y, above, below, strict=True):
                seen[name.removesuffix(", exact match")] = (x, x - low, x + high)
        for name in ("induction direct", "transform direct", "parity steps", "addition steps"):
            row = label_of(found, name)
            cut_off = 10 ** np.array(figure.layout.xaxis.range) if place == "x" else figure.layout.xaxis2.range
            low, high = (at if end is None else end for end, at in zip(row[ends], cut_off, strict=True))
            np.testing.assert_allclose(seen[name], (row[field], low, high))
        assert "parity direct" not in seen
    assert "flat: no rise placed" in [text for trace in figure.data if trace.mode == "text" for text in trace.text]


def test_map_colours_are_scores(runs: pd.DataFrame, found: dict) -> None:
    figure = map_of_scores(runs, found)
    for name in NAMES:
        (trace,) = traces(figure, name)
        rows = exact_match(runs, name)
        np.testing.assert_array_equal(trace.marker.color, rows["value"])
        np.testing.assert_array_equal(trace.y, rows["tokens"])
        np.testing.assert_allclose(
            np.log(np.array(trace.x) / rows["params"]), np.log(1.12) * (rows["seed"] - 1), atol=1e-9
        )
    assert map_of_scores(runs.drop(columns="tokens"), found) is None


def test_steps_are_compared_within_a_run(runs: pd.DataFrame, found: dict) -> None:
    figure = steps_against_direct(runs, found)
    for ability in ("parity", "addition"):
        dots, means = traces(figure, ability)
        steps, direct = (exact_match(runs, f"{ability} {style}").set_index("run") for style in ("steps", "direct"))
        difference = steps["value"] - direct["value"]
        np.testing.assert_allclose(sorted(dots.y), sorted(difference))
        assert dict(zip(dots.text, dots.y, strict=True)) == pytest.approx(difference.to_dict())
        np.testing.assert_allclose(means.y, difference.groupby(steps["compute"]).mean())
    assert steps_against_direct(runs[runs["style"] == "direct"], found) is None


def test_samples_begin_with_the_direct_answer(runs: pd.DataFrame, found: dict) -> None:
    figure = samples_at_test_time(runs, found)
    assert figure is not None
    largest = runs[runs["compute"] == runs["compute"].max()]
    lines = [trace for trace in figure.data if trace.name == figure.data[8].name]
    means = largest.groupby(["task", "metric"])["value"].mean()
    for ability, (passes, votes) in zip(("parity", "addition"), (lines[:2], lines[2:]), strict=True):
        direct = means[f"scalelab_{ability}_direct", "exact_match"]
        sampled = means[f"scalelab_{ability}_steps_sampled"]
        assert list(passes.x) == ["direct", "1", "2", "4", "8"]
        np.testing.assert_allclose(passes.y, [direct, *(sampled[f"pass@{k}"] for k in (1, 2, 4, 8))])
        assert list(votes.x) == ["direct", "1", "4", "8"]
        np.testing.assert_allclose(votes.y, [direct, *(sampled[m] for m in ("pass@1", "majority@4", "majority@8"))])
    assert samples_at_test_time(runs[~runs["metric"].str.contains("@")], found) is None


def test_seeds_are_drawn_where_they_were_tested(runs: pd.DataFrame, found: dict) -> None:
    assert scatter_of_seeds(runs, found) is None
    many = exact_match(emergence_runs(num_seeds=4), "induction direct")
    tested = label_table(many)
    figure = scatter_of_seeds(many, tested)
    (trace,) = traces(figure, "induction direct")
    np.testing.assert_array_equal(trace.y, many["value"])
    assert figure is not None
    assert figure.layout.annotations[0].text.endswith(f"p = {tested['rows'][0]['bimodality_p']:.3f}")


def test_forecasts_carry_their_intervals(runs: pd.DataFrame, found: dict, foreseen: dict) -> None:
    assert forecasts(runs, found) is None
    figure, forecast = forecasts(runs, foreseen), foreseen["forecast"]
    own = [row for row in forecast["rows"] if row["task"] == "scalelab_addition_steps"]
    nats, score = traces(figure, "addition steps, exact match")
    np.testing.assert_array_equal(nats.x, [row["observed"] for row in own])
    np.testing.assert_array_equal(nats.y, [row["predicted"] for row in own])
    np.testing.assert_allclose(nats.y + np.array(nats.error_y.array), [row["pi95"][1] for row in own])
    np.testing.assert_allclose(nats.y - np.array(nats.error_y.arrayminus), [row["pi95"][0] for row in own])
    base = runs[(runs["task"] == "scalelab_addition_steps") & (runs["metric"] == "exact_match")]
    ahead = base[base["compute"] > forecast["cut_compute"]]
    np.testing.assert_array_equal(score.x, ahead["value"])
    np.testing.assert_allclose(np.array(nats.x), -ahead["continuous"])
    (section,) = [part for part in emergence_sections(runs, foreseen) if part.title == "Predicted before it was seen"]
    assert len(section.rows) == len(forecast["tasks"]) == 7
    assert section.rows[0][-1] == label_of(found, "induction direct")["label"]


def test_forecast_says_what_it_missed() -> None:
    tasks = [{"can_be_forecast": able} for able in (True, True, False)]
    content = {
        "cut_compute": 3e11, "tasks": tasks, "num_pairs": 18, "mean_absolute_error": 0.1, "persistence_error": 0.3,
        "coverage": 17 / 18, "score_error": 0.05, "num_emergent_above_cut": 3,
        "num_emergent_predicted": 0, "num_emergent_beyond_forecast": 1,
    }  # fmt: skip
    said = " ".join(forecast_sentences(content))
    assert "more than 300G FLOPs" in said
    assert "1 of 3 tasks are beyond a forecast" in said
    assert "18 pairs of a run and a task: mean absolute error 0.100 nats, against 0.300" in said
    assert "94% inside" in said
    assert "0 were predicted to rise, 1 were declared beyond a forecast and 2 missed" in said
    none = {"num_pairs": 0, "num_emergent_above_cut": 0, "mean_absolute_error": None}
    assert "none to miss" in " ".join(forecast_sentences(content | none))


def test_page_says_what_the_labels_say(runs: pd.DataFrame, found: dict) -> None:
    title, sections = emergence_page(runs, found)
    labels = [label_of(found, name)["label"] for name in NAMES]
    assert title.startswith(f"6 curves: {labels.count('emergent')} emergent, ")
    (table,) = [section for section in sections if "threshold, FLOPs" in section.columns]
    assert [row[0] for row in table.rows] == NAMES
    assert [row[1] for row in table.rows] == labels
    steps, direct = (exact_match(runs, f"addition {style}").set_index("run") for style in ("steps", "direct"))
    gain = (steps["value"] - direct["value"])[steps["compute"] == runs["compute"].max()]
    assert table.rows[5][-1] == f"{gain.mean():+.2f} ({gain.min():+.2f} to {gain.max():+.2f})"
    assert table.rows[4][-1] == ""
    said = texts(sections)
    for row in found["rows"]:
        assert all(reason in said for reason in row["diagnostics"])


def test_a_table_of_anyone_has_a_page(runs: pd.DataFrame, found: dict) -> None:
    names = {task_of(name): f"task <{name}>" for name in NAMES[:2]}
    rows = runs[runs["task"].isin(names) & (runs["metric"] == "exact_match")]
    columns = ["task", "metric", "compute", "seed", "value", "num_items", "chance"]
    table = rows.assign(task=rows["task"].map(names), metric="score")[columns]
    labels = [{**row, "task": names[row["task"]], "metric": "score"} for row in found["rows"] if row["task"] in names]
    assert list(with_curves(table)["curve"].unique()) == list(names.values())
    title, sections = emergence_page(table, found | {"rows": labels})
    assert title == "2 curves: 1 emergent, 1 smooth"
    assert [section.title for section in sections if section.figure is not None] == [
        "Scores against compute, metric by metric", "Thresholds and widths",
    ]  # fmt: skip


def anyones(runs: pd.DataFrame, metrics: dict[str, str]) -> pd.DataFrame:
    """Scores of tasks with metrics of their own, one each, without our columns."""
    (rows,) = [exact_match(runs, NAMES[0])]
    columns = ["metric", "compute", "seed", "value", "num_items", "chance"]
    return pd.concat([rows[columns].assign(task=task, metric=metric) for task, metric in metrics.items()])


def test_every_labelled_curve_is_on_the_page_whatever_its_metric(runs: pd.DataFrame) -> None:
    table = anyones(runs, {"task A": "acc", "task B": "f1", "task C": "score"})
    tested = label_table(table)
    title, sections = emergence_page(table, tested)
    assert title.startswith("3 curves: ")
    (labels,) = [section for section in sections if "threshold, FLOPs" in section.columns]
    assert [row[0] for row in labels.rows] == ["task A", "task B", "task C"]
    figure = scores_by_metric(table, tested)
    for name in ("task A", "task B", "task C"):
        assert any(f"<b>{name}</b>" in note.text for note in figure.layout.annotations), name
    dots = [x for trace in traces(figure, "a run") for x in trace.x]
    assert len(dots) == len(table)
    placed = [y for trace in thresholds(table, tested).data if trace.mode == "markers" for y in trace.y]
    assert {"task A, accuracy", "task B, f1", "task C, score"} <= set(placed)


def test_tasks_of_one_ability_keep_their_names(runs: pd.DataFrame) -> None:
    table = anyones(runs, {"task A": "f1", "task B": "f1"}).assign(ability="maths", style="", kind=None)
    title, sections = emergence_page(table, label_table(table))
    assert title.startswith("2 curves: ")
    (labels,) = [section for section in sections if "threshold, FLOPs" in section.columns]
    assert [(row[0], row[-1]) for row in labels.rows] == [("task A", ""), ("task B", "")]


def test_steps_are_compared_in_a_table_from_a_file(runs: pd.DataFrame, tmp_path: Path) -> None:
    runs.to_csv(tmp_path / "scores.csv", index=False)
    table = read_scores(tmp_path / "scores.csv")
    labelled = {task_of(name) for name in NAMES}
    tested = label_table(table[table["task"].isin(labelled)])
    _, sections = emergence_page(table, tested)
    (labels,) = [section for section in sections if "threshold, FLOPs" in section.columns]
    assert labels.columns[-2:] == ["kind", "steps less direct"]
    assert [row[0] for row in labels.rows] == NAMES
    assert "What writing the steps buys" in [section.title for section in sections]


def test_errors_of_the_detector_are_the_worst_of_the_bench() -> None:
    kinds = {"flat": (0.0, None), "convex": (0.002, None), "1.3": (0.012, 0.95), "2": (0.004, 0.97),
             "1": (0.06, 0.95), "0": (0.98, 0.93),
             "0.5": (0.5, 0.96), "mirage 5": (0.003, None), "jump 5": (0.9, None)}  # fmt: skip
    cells = [{"kind": k, "labels": {"x": 1}, "emergent": e, "threshold_coverage": c} for k, (e, c) in kinds.items()]
    cells.append({"kind": "two", "labels": {}, "emergent": 0.0, "threshold_coverage": None})
    said = detector_sentence({"curves": 300, "cells": cells})
    assert "at most 1.2% of those without a sharp rise" in said
    assert "at most 6.0% of rises of exactly one decade and at most 0.3% of mirages" in said
    assert "finds 98% to 98%" in said
    assert "in 93% to 97%" in said


def test_open_intervals_are_said() -> None:
    assert interval([1e9, None]) == "1G or more"
    assert interval([None, 2e9]) == "2G or less"
    assert interval([None, None]) == "open"
    assert interval([0.1, 0.25], 2) == "0.10 to 0.25"
    row = {"label": "flat", "threshold": None, "width_decades": None, "diagnostics": ["a", "b"]}
    assert label_sentence(row, "x") == "x: flat (a; b)"


def test_a_browser_draws_page_and_report(runs: pd.DataFrame, foreseen: dict, tmp_path: Path, page: Page) -> None:
    complaints = complaints_of(page)
    write_page(tmp_path / "page.html", *emergence_page(runs, foreseen))
    page.goto((tmp_path / "page.html").as_uri(), wait_until="load")
    assert see_all(page) == 6
    wide = page.locator(".js-plotly-plot").first.bounding_box()
    assert wide is not None
    assert wide["height"] > 900
    write_report([Group("emergence", "Emergence", emergence_sections(runs, foreseen))], tmp_path / "report.html", {})
    page.goto((tmp_path / "report.html").as_uri(), wait_until="load")
    assert see_all(page) == 6
    expect(page.get_by_role("heading", name="Which abilities emerge, and where?")).to_be_visible()
    assert complaints == []
