import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest

from analysis import figures
from analysis.answers import law_answer
from analysis.costs import cost_sections, cost_table
from analysis.figures import law_of
from analysis.page import Section, cell
from analysis.pages_law import law_sections
from analysis.report import Group, flatten, halves, write_report
from analysis.wording import byte_size, plain, si


def traces_of_size(figure, size):
    return [trace for trace in figure.data if trace.name == str(size)]


def test_every_run_is_drawn_once(sweep, sweep_law):
    figure = figures.loss_against_tokens(sweep, sweep_law)
    for size, rows in sweep.groupby("size"):
        (trace,) = traces_of_size(figure, size)
        np.testing.assert_array_equal(trace.x, rows["tokens"])
        np.testing.assert_array_equal(trace.y, rows["loss"])
        np.testing.assert_allclose(trace.error_y.array, 2 * rows["loss_se"])
    curve = next(trace for trace in figure.data if trace.name == "law 24")
    np.testing.assert_allclose(curve.y, law_of(sweep_law).loss(36 * 24**2, np.array(curve.x)))


def test_surface_is_the_law_and_the_runs(sweep, sweep_law):
    figure = figures.fitted_surface(sweep, sweep_law)
    surface, law = figure.data[0], law_of(sweep_law)
    assert surface.z[3][7] == pytest.approx(float(law.loss(surface.x[7], surface.y[3])))
    assert sum(len(trace.x) for trace in figure.data[1:]) == len(sweep)


def test_equal_compute_keeps_residuals(sweep, sweep_law):
    figure, law = figures.isoflop(sweep, sweep_law), law_of(sweep_law)
    moved = []
    for curve, runs in zip(figure.data[0:10:2], figure.data[1:10:2], strict=True):
        moved += list(np.log(runs.y) - np.interp(np.log(runs.x), np.log(curve.x), np.log(curve.y)))
    expected = np.log(sweep["loss"]) - np.log(law.loss(sweep["params"], sweep["tokens"]))
    np.testing.assert_allclose(np.sort(moved), np.sort(expected), atol=5e-4)  # the curve is drawn in 80 pieces


def test_stars_are_the_bottom_of_their_valleys(sweep, sweep_law):
    figure = figures.isoflop(sweep, sweep_law)
    stars = next(trace for trace in figure.data if trace.name == "optimum")
    bottoms = [min(curve.y) for curve in figure.data[0:10:2]]
    assert len(stars.x) == 5
    np.testing.assert_allclose(stars.y, bottoms, rtol=1e-3)
    assert (np.array(stars.y) <= bottoms).all()


def test_residuals_are_per_cent_of_the_law(sweep, sweep_law):
    figure, law = figures.residuals(sweep, sweep_law), law_of(sweep_law)
    rows = sweep[sweep["size"] == 48]
    (trace,) = traces_of_size(figure, 48)
    np.testing.assert_allclose(trace.y, 100 * (rows["loss"] / law.loss(rows["params"], rows["tokens"]) - 1))


def test_predictions_carry_their_intervals(sweep, sweep_law):
    figure = figures.predicted_against_measured(sweep, sweep_law)
    rows = [row for row in sweep_law["heldout"]["rows"] if row["size"] == 96]
    (trace,) = traces_of_size(figure, 96)
    np.testing.assert_allclose(trace.x, [row["measured"] for row in rows])
    np.testing.assert_allclose(trace.y + np.array(trace.error_y.array), [row["high"] for row in rows])
    np.testing.assert_allclose(trace.y - np.array(trace.error_y.arrayminus), [row["low"] for row in rows])


def test_frontier_is_below_every_point_of_the_law(sweep, sweep_law):
    figure, law = figures.frontier(sweep, sweep_law), law_of(sweep_law)
    best = figure.data[0]
    work = 6 * sweep["params"] * sweep["tokens"]
    least = np.exp(np.interp(np.log(work), np.log(best.x), np.log(best.y)))
    assert (law.loss(sweep["params"], sweep["tokens"]) >= least * (1 - 1e-3)).all()


def test_a_size_keeps_its_color(sweep, sweep_law):
    drawn = [figures.loss_against_tokens, figures.residuals, figures.frontier, figures.predicted_against_measured]
    colors = {traces_of_size(draw(sweep, sweep_law), 96)[0].marker.color for draw in drawn}
    assert len(colors) == 1
    assert len(set(figures.size_colors(sweep).values())) == 7


@pytest.fixture(scope="module")
def page(sweep, sweep_law, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("report") / "results" / "report.html"
    law = json.loads(json.dumps(sweep_law))
    groups = [
        Group("law", "Law", law_sections(sweep, law), "What does loss follow?", law_answer(law)),
        Group("saturation", "Saturation", (), "Where does more data stop helping?", remedy="dvc repro saturation"),
        Group("history", "History"),
        Group("cost", "Cost", cost_sections({"law": sweep})),
    ]
    write_report(groups, out, {"revision": "abc<script>", "versions": {"torch": "2.13.0"}})
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
    return out.read_text(encoding="utf-8")


def test_report_has_every_section(page, sweep_law):
    for name in ("summary", "law", "loss", "surface", "isoflop", "frontier", "residuals", "heldout", "cost"):
        assert page.count(f'id="{name}"') == 1
    for name in ("loss", "surface", "isoflop", "frontier", "residuals", "heldout"):
        assert page.count(f'id="figure-{name}"') == page.count(f'id="data-{name}"') == 1
    assert f">{100 * sweep_law['heldout']['mean_abs_rel_error']:.2f}%</div>" in page
    assert page.count(" of 2</td>") == len(sweep_law["heldout"]["rows"])
    assert "2.13.0" in page


def test_what_is_missing_names_its_command_and_what_is_none_is_left_out(page):
    assert page.count("<code>dvc repro saturation</code>") == 2  # in the summary and in its chapter
    assert "istory" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_report_asks_nobody_for_anything(page):
    own = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", own)
    assert "@import" not in own
    assert "url(" not in own
    assert page.count("plotly.js v") == 1
    assert "abc&lt;script&gt;" in page


def test_figures_in_the_page_are_json(page):
    told = dict(re.findall(r'<script type="application/json" id="data-([a-z]+)">(.*?)</script>', page))
    assert set(told) == {"loss", "surface", "isoflop", "frontier", "residuals", "heldout"}
    assert not any("<" in text for text in told.values())
    assert all(json.loads(text)["data"] for text in told.values())


def test_a_note_shows_its_first_sentence_and_folds_the_rest():
    long = Section("x", f"Short. {'Longer ' * 40}(Leviathan et al. 2023) is one.  Two: three")
    assert (long.lead, long.more) == ("Short.", long.note.removeprefix("Short. "))
    whole = Section("x", "One. Two.")
    assert (whole.lead, whole.more) == ("One. Two.", "")


def test_an_interval_stands_under_its_value():
    assert cell("3.68 (1.82 to 7.29)") == '3.68<span class="ends"> (1.82 to 7.29)</span>'
    assert cell("1 (0.9 to 1)") == '1<span class="ends"> (0.9 to 1)</span>'
    assert cell("a floor (76%)") == "a floor (76%)"
    assert cell("C^0.62 <b>") == "C<sup>0.62</sup> &lt;b&gt;"


def test_words_stand_left_and_numbers_right():
    rows = [("a", "64 + 64, batch 4", "1.2 (1 to 2)", "-"), ("b", "static cache", "-", "3 of 4")]
    assert Section("x", "", None, ("", "setting", "ratio", "count"), rows).word_columns == {1}


def test_plain_figures_stand_in_pairs_and_an_odd_one_alone():
    plain, table = Section("x", "", figures.styled(go.Figure())), Section("y")
    assert halves([plain] * 3 + [table] + [plain] * 2) == [False, True, True, False, True, True]
    assert halves([plain, table]) == [False, False]


def test_numbers_have_no_exponents():
    assert [plain(value) for value in (1940.9, 13992.4, 0.0123, 2.5e7, 999.9, None)] == [
        "1,940", "14,000", "0.0123", "25M", "1,000", "-",
    ]  # fmt: skip
    assert plain(13992.4, 4) == "13,990"
    assert [si(value, 2) for value in (324e9, 1.04e12)] == ["320G", "1T"]


def test_cost_counts_what_was_trained(sweep):
    row = cost_table(sweep)[0]
    assert (row["size"], row["num_cells"], row["num_runs"]) == (24, 2, 8)
    assert row["tokens"] == pytest.approx(sweep[sweep["size"] == 24]["tokens"].sum())
    assert row["flops"] == pytest.approx(sweep[sweep["size"] == 24]["flops"].sum())
    assert row["seconds"] == pytest.approx(sweep[sweep["size"] == 24]["seconds"].sum())
    bare = cost_table(sweep.drop(columns=["seconds", "tokens_per_second"]))[0]
    assert bare["seconds"] is None
    assert si(bare["seconds"]) == "-"


def test_numbers_are_short():
    assert [si(value) for value in (1234567, 999.0, 2.5e12, 0.25)] == ["1.23M", "999", "2.5T", "0.25"]
    assert [byte_size(n) for n in (0, 999, 1000, 1_234_567, 999_600)] == ["0 B", "999 B", "1 kB", "1.23 MB", "1 MB"]
    assert flatten({"a": {"b": 1}, "c": 2}) == [("a b", "1"), ("c", "2")]


@pytest.mark.parametrize(
    ("value", "said"), [(999_999, "1M"), (999_400, "999k"), (999_600_000, "1G"), (999.9, "1k"), (0.5, "0.5")]
)
def test_counts_are_rounded_before_their_letter(value, said):
    assert si(value) == said
