"""What a user sees of inference: every number is one of the table or its analysis, and no failed check has a speed."""

import json
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from playwright.sync_api import Page, expect

from analysis.figures_inference import contest_name, crossing_places, ratios, ratios_against_size
from analysis.figures_serving import acceptance_against_size, distilled, divergence_against_size, load, products
from analysis.inference import analyse
from analysis.page import Section, write_page
from analysis.pages_inference import QUESTION, inference_page, inference_sections
from analysis.pages_resources import ability_section
from analysis.report import Group, write_report
from analysis.wording import plain_between
from analysis.wording_inference import crossing_text, heldout_sentence, law_text, si_open
from tests.analysis.inference_rows import DETECTABLE, SETTINGS, SIZES, inference_table
from tests.analysis.test_pages import texts
from tests.browsing import complaints_of, see_all

NUM_FIGURES = 8


@pytest.fixture(scope="module")
def table() -> dict:
    """The content of inference.json, read back as a page reads it."""
    rows = inference_table()
    return json.loads(json.dumps(rows | analyse(rows)))


def ok(table: dict, **shared: object) -> list[dict]:
    return [row for row in table["rows"] if row["status"] == "ok" and shared.items() <= row.items()]


def markers(figure: go.Figure | None) -> list:
    assert figure is not None
    return [trace for trace in figure.data if trace.mode == "markers"]


def titled(sections: list[Section], title: str) -> Section:
    (section,) = [section for section in sections if section.title == title]
    return section


def test_every_speed_is_drawn_once_with_its_interval(table: dict) -> None:
    figure = ratios(table)
    drawn = [
        (x, x - below, x + above)
        for trace in markers(figure)
        for x, below, above in zip(trace.x, trace.error_x.arrayminus, trace.error_x.array, strict=True)
    ]
    np.testing.assert_allclose(sorted(drawn), sorted((row["ratio"], *row["ci95"]) for row in ok(table)))
    assert figure is not None
    (band,) = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert (band.x0, band.x1) == (pytest.approx(1 / DETECTABLE), DETECTABLE)
    assert [shape.x0 for shape in figure.layout.shapes if shape.type == "line"] == [1]
    names = list(figure.layout.yaxis.ticktext)
    assert not any(name.startswith(("int8-dynamic", "flash")) for name in names)
    for trace in markers(figure):
        for y, text in zip(trace.y, trace.text, strict=True):
            assert text.startswith(names[round(y)])


def test_no_failed_check_has_a_speed_anywhere(table: dict) -> None:
    said = inference_sections(table)
    for technique, status in (("int8-dynamic", "incorrect"), ("flash", "unsupported")):
        (row,) = [row for row in titled(said, "What has no speed").rows if row[0] == technique]
        (source,) = [row for row in table["rows"] if row["technique"] == technique]
        assert row[1] == status
        assert row[-1] == source["reason"]
        (row,) = [row for row in titled(said, "Every row").rows if row[0] == technique]
        assert row[6] == status
    assert "kl 30,000, limit 0.01: FAILED" in texts(said)


def test_a_law_goes_through_its_points_and_shows_what_it_foresaw(table: dict) -> None:
    figure = ratios_against_size(table)
    assert figure is not None
    panels = [note.text for note in figure.layout.annotations]
    assert panels == [f"<b>{name}</b>" for name in dict.fromkeys(
        contest_name(row) for row in ok(table) if row["kind"] in ("cache", "precision")
    )]  # fmt: skip
    laws = [law for law in table["laws"] if law["law"] == "speed" and law["form"]]
    drawn = [trace for trace in figure.data if trace.name == "law"]
    assert len(drawn) == len(laws)
    for law, trace in zip(laws, drawn, strict=True):
        for point in law["points"]:
            told = np.interp(np.log(point["params"]), np.log(trace.x), trace.y)
            assert told == pytest.approx(point["value"], rel=0.06)
    foreseen = [trace for trace in figure.data if trace.name == "foreseen, 90% interval"]
    held = [law["heldout"] for law in laws]
    assert [trace.y[0] for trace in foreseen] == [one["prediction"] for one in held]
    np.testing.assert_allclose(
        [trace.y[0] + trace.error_y.array[0] for trace in foreseen], [one["interval"][1] for one in held]
    )
    rows = sum(len(trace.x) for trace in markers(figure) if trace.name not in ("law", "foreseen, 90% interval"))
    assert rows == len(ok(table, kind="cache", trained=True) + ok(table, kind="precision", trained=True))


def test_crossovers_lie_between_their_points(table: dict) -> None:
    lines = [line for line in table["crossovers"] if line["crossings"]]
    drawn = sorted(trace.x[0] for trace in markers(crossing_places(table)))
    np.testing.assert_allclose(drawn, sorted(line["crossings"][0]["at"] for line in lines))
    section = titled(inference_sections(table), "Where a gain turns into a loss")
    assert section.note.startswith(f"{len(lines)} of {len(table['crossovers'])} lines pass 1")
    assert [row[2] for row in section.rows[: len(lines)]] == [crossing_text(line) for line in lines]
    counted = [row[1].rpartition(", ")[2] for row in section.rows if row[2].startswith("always")]
    settled = [line for line in table["crossovers"] if line["status"].startswith("always")]
    assert sum(int(count.split()[0]) for count in counted) == len(settled)


def test_a_law_says_what_it_could_not_tell(table: dict) -> None:
    law = next(law for law in table["laws"] if law["law"] == "speed-pooled")
    assert law_text(law | {"dropped": {"prompt": "one member alone tells it"}}).endswith(
        ", prompt tokens not told (one member alone tells it)"
    )


def test_speculation_tells_what_was_foreseen_and_how_near(table: dict) -> None:
    section = titled(inference_sections(table), "What drafts yield")
    told = ok(table, technique="speculative")
    near = sum(abs(row["foreseen_ratio"] / row["ratio"] - 1) <= 0.15 for row in told)
    assert 0 < near < len(told)
    assert f"within 15% of the measured speed in {near} of {len(told)} rows" in section.note
    for shown, row in zip(section.rows, told, strict=True):
        assert shown[4] == f"{row['acceptance_length']:.2f}"
        assert shown[-1] == f"{100 * (row['foreseen_ratio'] / row['ratio'] - 1):+.0f}%"


def test_latencies_memory_and_abilities_stand_for_both_sides(table: dict) -> None:
    said = inference_sections(table)
    resources = titled(said, "Latency and memory")
    assert len(resources.rows) == len(ok(table))
    told = dict(zip(resources.columns, resources.rows[0], strict=True))
    assert told["first token, s"] == "0.01 -> 0.02"
    assert told["token after it, s"] == "0.001, 0.002 -> 0.0005, 0.004"
    assert told["peak memory, bytes"] == "2M -> 3M"
    lossy = titled(said, "What fewer bits cost in ability").rows
    assert len(lossy) == len(ok(table, kind="precision"))
    assert lossy[0][3:6] == ("0.625", "-0.013 (-0.025 to 0)", "52 of 1,920")


def test_training_with_the_rounding_is_told_against_three_models(table: dict) -> None:
    against = {
        "against_original": {"delta": -0.5, "ci95": [-1, -0.25]},
        "against_control": {"delta": 0.1, "ci95": [0, 0.2]},
    }
    (section,) = ability_section({"rows": [ok(table, kind="precision")[0] | against]})
    told = dict(zip(section.columns, section.rows[0], strict=True))
    assert told["log perplexity"] == "+0.001 (0.0005 to 0.002)"
    assert told["against the original"] == "-0.5 (-1 to -0.25)"
    assert told["against the reference quantised"] == "+0.1 (0 to 0.2)"


def test_quality_figures_hold_every_measurement(table: dict) -> None:
    dots = [y for trace in markers(divergence_against_size(table)) for y in trace.y]
    assert sorted(dots) == sorted(row["kl"] for row in table["precision"] if row["status"] == "ok")
    dots = [y for trace in markers(acceptance_against_size(table)) for y in trace.y]
    assert sorted(dots) == sorted(row[rate] for row in table["acceptance"] for rate in ("greedy", "sampling"))
    figure = acceptance_against_size(table)
    assert figure is not None
    # The law's curve of drafters of the family passes near their measurements.
    curve = next(trace for trace in figure.data if trace.name == "law")
    for row in table["acceptance"]:
        if row["way"] is None:
            share = row["drafter_params"] / row["target_params"]
            assert np.interp(np.log(share), np.log(curve.x), curve.y) == pytest.approx(row["greedy"], abs=0.05)
    moved = [x for trace in markers(distilled(table)) for x in trace.x]
    contrasts = table["distillation"]["contrasts"]
    assert sorted(moved) == sorted(
        row[name]["difference"] for row in contrasts for name in ("loss", "score", "greedy", "sampling")
    )


def test_compositions_say_product_and_measurement(table: dict) -> None:
    figure = products(table)
    for trace in markers(figure):
        verdict = {"the product": "product", "more than the product": "more", "less than the product": "less"}
        own = [row for row in table["compositions"] if row["verdict"] == verdict.get(trace.name, trace.name)]
        assert list(trace.x) == [row["product"] for row in own]
        assert list(trace.y) == [row["ratio_both"] for row in own]
    rows = titled(inference_sections(table), "Do two gains multiply?").rows
    assert [row[5] for row in rows] == [
        "the product", "less than the product", "more than the product", "undetermined", "incorrect",
    ]  # fmt: skip
    assert rows[1][2:5] == ("1.2 x 1.5 = 1.8", "1.28", "0.71 (0.675 to 0.746)")
    assert rows[4][3:5] == ("-", "-")


def test_load_is_drawn_by_policy_and_rate(table: dict) -> None:
    figure = load(table)
    assert figure is not None
    entries = next(row for row in table["rows"] if row.get("load"))["load"]
    drawn = [(trace.name, x, y) for trace in figure.data[:3] for x, y in zip(trace.x, trace.y, strict=True)]
    assert drawn == [(e["policy"], e["requests_per_second"], e["tokens_per_second"]) for e in entries]
    tails = [trace for trace in figure.data if trace.line.dash == "dot"]
    assert len(tails) == 6
    assert list(tails[0].y) == [e["seconds_to_first_token"]["p95"] for e in entries if e["policy"] == "sequential"]


def test_sentences_count_what_was_foreseen(table: dict) -> None:
    held = [law["heldout"] for law in table["laws"] if law["law"] == "speed" and law["heldout"]]
    said = heldout_sentence(table["laws"])
    assert said.startswith(f"Of {len(held)} laws of speed fitted without the largest member ")
    assert f"{sum(one['inside'] for one in held)} predict its ratio" in said
    lossy = [law["heldout"]["inside"] for law in table["laws"] if law["law"] == "quality" and law["heldout"]]
    assert said.endswith(
        f"Of {len(lossy)} laws of divergence {sum(lossy)} predict the largest member's inside their 90% interval."
    )
    assert heldout_sentence([]).startswith("No law of speed")
    quality = [law for law in table["laws"] if law["law"] == "quality"]
    assert heldout_sentence(quality).startswith("No law of speed has the five sizes that a prediction")
    assert heldout_sentence(quality).endswith(said.rpartition("prediction. ")[2])
    assert plain_between([None, 2.0]) == "2 or less"
    assert si_open([1500, None]) == "1.5k or more"
    assert plain_between([None, None]) == "open"


def test_a_small_table_has_a_page_that_says_what_is_missing() -> None:
    rows = inference_table(SIZES[:2], SETTINGS[:1])
    rows |= {"acceptance": [], "precision": [], "compositions": [], "distillation": None}
    rows |= analyse(rows)
    title, sections = inference_page(rows)
    assert title == "Inference: 15 with a speed, 1 incorrect, 1 unsupported"
    why = dict(titled(sections, "What could not be predicted").rows)
    alike = "kv-cache, static-cache, bfloat16, int8-weight-only"
    assert why["2 trained members: a law in N needs 3, add sizes"] == alike
    assert "No law of speed has the five sizes" in texts(sections)
    drawn = [section.title for section in sections if section.figure is not None]
    assert drawn == [QUESTION, "Speed against size", "Under load"]


def test_a_table_without_one_speed_is_a_page(table: dict) -> None:
    failed = [row for row in table["rows"] if row["status"] != "ok"]
    rows = {"machine": table["machine"], "control": table["control"], "rows": failed}
    title, sections = inference_page(rows | analyse(rows))
    assert title == "Inference: 1 incorrect, 1 unsupported"
    assert all(section.figure is None for section in sections)


def test_a_browser_draws_page_and_report(table: dict, tmp_path: Path, page: Page) -> None:
    complaints = complaints_of(page)
    write_page(tmp_path / "page.html", *inference_page(table))
    page.goto((tmp_path / "page.html").as_uri(), wait_until="load")
    assert see_all(page) == NUM_FIGURES
    write_report([Group("inference", "Inference", inference_sections(table))], tmp_path / "report.html", {})
    page.goto((tmp_path / "report.html").as_uri(), wait_until="load")
    assert see_all(page) == NUM_FIGURES
    expect(page.get_by_role("heading", name=QUESTION)).to_be_visible()
    assert complaints == []
