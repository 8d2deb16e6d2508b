"""The smoke preset through real DVC in a copy of the checkout: what `make repro` runs after the install."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.checkout import Checkout
from tests.notebooks import executing, text_of
from tests.pages import commands, own_texts, pages
from tests.serving import reader

# The whole pipeline runs once for all tests here, which takes minutes where other work takes the cores.
pytestmark = pytest.mark.timeout(1200)

CONTRACT = {
    "law",
    "estimator",
    "num_points",
    "num_sizes",
    "objective",
    "params",
    "ci95",
    "exponents",
    "heldout",
    "inputs",
}
HELDOUT = {
    "num_cells",
    "num_runs",
    "mean_abs_rel_error",
    "max_abs_rel_error",
    "pi95_mean_width",
    "pi95_coverage",
}


class Interrupted(Checkout):
    """A checkout whose `dvc repro` was stopped by Ctrl-C in one training stage and killed in the next, then completed.

    So whatever the tests here say of the pipeline, they say of one that was interrupted.
    """

    def press_ctrl_c(self) -> None:
        process = self.start("dvc", "repro")
        self.wait_for_branches("law", 4, process)
        os.killpg(process.pid, signal.SIGINT)  # A terminal sends it to the whole group.
        self.after_ctrl_c = (process.wait(timeout=100), self.started_log, self.stamps())

    def kill_dvc(self) -> None:
        """dvc alone, as a machine without memory kills it: the training that it started goes on."""
        process = self.start("dvc", "repro")
        self.wait_for_branches("saturation", 4, process)
        os.killpg(process.pid, signal.SIGSTOP)  # That it is still at work does not depend on how long it takes.
        process.kill()
        process.wait()
        (self.left,) = json.loads(self.run("scalelab", "status", "--json", "-"))["running"]
        self.meanwhile = self.refused("dvc", "repro")
        os.killpg(process.pid, signal.SIGKILL)
        self.after_kill = self.stamps()

    def complete(self) -> None:
        self.said = self.run("dvc", "repro")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Interrupted:
    """The checkout after `dvc repro`."""
    made = Interrupted(tmp_path_factory.mktemp("checkout") / "scalelab", root)
    made.press_ctrl_c()
    made.kill_dvc()
    made.complete()
    return made


def test_an_interrupted_repro_goes_on_and_trains_only_the_rest(checkout: Interrupted) -> None:
    code, log, after_ctrl_c = checkout.after_ctrl_c
    assert code != 0
    assert "interrupted: run it again to go on where it was" in log
    assert 4 <= len(after_ctrl_c) < 30
    assert checkout.left["what"] == "saturation"
    assert checkout.left["command"].endswith("train saturation")
    assert "another process works on saturation: wait for it or stop it" in checkout.meanwhile
    assert checkout.meanwhile.count("Stage 'train-law' didn't change, skipping") == 1
    stamps = checkout.stamps()
    for before in (after_ctrl_c, checkout.after_kill):
        assert {path: stamps[path] for path in before} == before
    finished = [path for path in checkout.after_kill if path.parents[2].name == "saturation"]
    assert re.search(rf"^36 branches in 6 cells: .*\b{len(finished)} done", checkout.said, re.MULTILINE)


def test_pipeline_leaves_points_law_report_and_runs_in_mlflow(checkout: Checkout) -> None:
    rows = list(csv.DictReader((checkout.path / "results/points.csv").open()))
    law = checkout.law()
    assert len(rows) == law["num_points"] == 30
    assert set(law) >= CONTRACT
    assert set(law["heldout"]) >= HELDOUT
    assert all(float(row["loss"]) > 1 for row in rows)
    longest = {row["size"]: float(row["loss"]) for row in rows if row["tokens"] == "131072" and row["seed"] == "0"}
    assert longest["64"] < longest["16"]
    assert "figure-isoflop" in (checkout.path / "results/report.html").read_text()
    found = json.loads((checkout.path / "results/saturation.json").read_text())
    assert [(size["params"], size["data"]) for size in found["sizes"]] == [
        (params, data) for params in (796, 2552, 5268) for data in ("epochs", "fresh")
    ]
    assert "Where does more data stop helping?" in (checkout.path / "results/report.html").read_text()
    assert "29 cells in MLflow, 0 updated now" in checkout.run("scalelab", "sync")


def test_pipeline_trains_asks_and_labels_the_mixture(checkout: Checkout) -> None:
    found = json.loads((checkout.path / "results/emergence.json").read_text())
    labels = {(row["task"], row["metric"]): row["label"] for row in found["rows"]}
    assert labels[("scalelab_induction_direct", "exact_match")] in ("flat", "undetermined")  # hardly trained
    assert all(row["num_runs"] == 8 and row["num_scales"] == 4 for row in found["rows"])
    assert found["simulation"]
    scores = list(csv.DictReader((checkout.path / "results/emergence_scores.csv").open()))
    assert {row["metric"] for row in scores} >= {"exact_match", "edit_similarity", "brier", "pass@8", "icl_score"}
    assert "emergence by exact match" in checkout.run("scalelab", "status")
    report = (checkout.path / "results/report.html").read_text()
    assert "parity" in report
    assert "transform" in report


def test_pipeline_measures_accelerations_behind_their_checks(checkout: Checkout) -> None:
    found = json.loads((checkout.path / "results/inference.json").read_text())
    assert {(row["technique"], row["model"]) for row in found["rows"]} == {
        (technique, f"w0016-l{layers}-s0") for technique in ("kv-cache", "batching") for layers in (2, 4)
    }
    assert all(row["status"] == "ok" and row["check"]["passed"] for row in found["rows"])
    assert "What does each acceleration gain" in (checkout.path / "results/report.html").read_text()
    assert "inference: 4 ok" in checkout.run("scalelab", "status")


def test_pipeline_compares_ways_to_answer_from_long_contexts(checkout: Checkout) -> None:
    found = json.loads((checkout.path / "results/longcontext.json").read_text())
    assert {(row["task"], row["arm"]) for row in found["rows"]} == {
        (task, arm) for task in ("compare", "argmax") for arm in ("direct", "truncation", "map-reduce", "rlm-1")
    }
    assert found["model"]["name"] == "policy/w0016-l3-s0"
    assert set(found["gates"]) >= {"shuffled_leaf", "oracle_leaf", "oracle_program", "regex"}
    assert '<div id="longcontext" class="chapter">' in (checkout.path / "results/report.html").read_text()
    assert "long contexts: 16 rows of policy/w0016-l3-s0" in checkout.run("scalelab", "status")


def test_every_notebook_runs_on_what_the_pipeline_left(checkout: Checkout) -> None:
    folder = checkout.path / "analysis" / "notebooks"
    notebooks = sorted(folder.glob("*.ipynb"))
    assert len(notebooks) == 7
    with executing(folder, checkout.env) as execute:
        said = {path.stem: text_of(execute(path)) for path in notebooks}
    assert "not there" not in said["start"]
    assert re.search(r"law +10 +1 +1310720 ", said["runs"])  # cells, hosts, tokens of their longest runs


def test_status_says_the_law_and_where_to_look(checkout: Checkout) -> None:
    said = checkout.run("scalelab", "status")
    assert "law: 30 done" in said
    assert "saturation: 36 done" in said
    assert "796 parameters, fresh: " in said
    assert "held out" in said
    assert str(checkout.path / "results/report.html") in said
    assert "make ui" in said


def test_plan_prices_the_grid_and_finds_it_done(checkout: Checkout) -> None:
    plan = json.loads(checkout.run("scalelab", "plan", "--json", "-"))
    assert plan["totals"]["done"] == 30
    assert plan["totals"]["wall_seconds"] == 0
    assert {"cell", "branch", "params", "tokens", "flops", "predicted_seconds", "bytes", "state"} <= set(
        plan["cells"][0]
    )


def test_status_says_that_everything_is_of_these_runs_and_gc_finds_nothing(checkout: Checkout) -> None:
    status = json.loads(checkout.run("scalelab", "status", "--json", "-"))
    assert set(status["results"].values()) == {"current"}
    assert (status["running"], status["repairs"], status["failures"]) == ([], [], {})
    found = json.loads(checkout.run("scalelab", "gc", "--dry-run", "--json", "-"))
    assert (found["orphans"], found["left_alone"]) == ([], {})
    # Rows of what is no longer asked for are found in their stores.
    params = (checkout.path / "params.yaml").read_text()
    other = params.replace("techniques: [kv-cache, batching]", "techniques: [kv-cache]").replace("items: 4", "items: 5")
    (checkout.path / "params.yaml").write_text(other)
    found = json.loads(checkout.run("scalelab", "gc", "--dry-run", "--json", "-"))
    (checkout.path / "params.yaml").write_text(params)
    gone = {Path(orphan["path"]).parts[1] for orphan in found["orphans"]}
    assert gone == {"measurements", "longcontext"}
    measured = [orphan["path"] for orphan in found["orphans"] if "measurements" in orphan["path"]]
    assert len(measured) == 2
    assert all("/batching-" in path for path in measured)
    assert len(found["orphans"]) == 2 + 22


def blocks(path: Path) -> list[str]:
    """The shell commands of a page, a block each."""
    return re.findall(r"```sh\n(.*?)```", path.read_text(), re.DOTALL)


def block(path: Path, command: str) -> str:
    """The one block of a page in which that command stands."""
    (found,) = [text for text in blocks(path) if command in text]
    return found


@pytest.fixture(scope="module")
def clone(checkout: Interrupted, root: Path) -> Checkout:
    """Another machine's checkout: cloned and pulled as docs/dvc.md says, from a remote that the checkout pushed to."""
    page, place = root / "docs/dvc.md", checkout.path.parent
    checkout.shell(block(page, "dvc remote add").replace("/mnt/team/scalelab", str(place / "store")))
    checkout.shell(block(page, "dvc push"))
    made = checkout.clone(place / "clone")
    made.pulled = made.shell(block(page, "dvc pull"))
    return made


def test_a_clone_pulls_everything_and_repro_runs_nothing(checkout: Interrupted, clone: Checkout) -> None:
    stages = yaml.safe_load((clone.path / "dvc.yaml").read_text())["stages"]
    skipped = re.findall("^Stage '(.+)' didn't change, skipping$", clone.pulled, re.MULTILINE)
    assert sorted(skipped) == sorted(stages)
    assert "Running stage" not in clone.pulled
    assert "29 cells in MLflow, 29 updated now" in clone.pulled  # `scalelab sync`, which needs no repro
    assert clone.git("status", "--short") == ""
    there, here = (place.run("scalelab", "status", "--json", "-") for place in (checkout, clone))
    assert json.loads(here)["suites"] == json.loads(there)["suites"]
    assert set(json.loads(here)["results"].values()) == {"current"}
    for verb in ("inference", "longcontext"):
        assert "0 to measure" in clone.run("scalelab", verb, "--dry-run").replace("\n", " ").replace("  ", " ")


def test_an_experiment_of_one_line_trains_only_what_it_adds(clone: Checkout, root: Path) -> None:
    page, before = root / "docs/dvc.md", clone.stamps()
    assert "30 branches in 10 cells" not in clone.pulled
    clone.shell(block(page, "third-seed"))
    added = {path: stamp for path, stamp in clone.stamps().items() if path not in before}
    assert {path: clone.stamps()[path] for path in before} == before
    assert {path.parts[-3].rpartition("-")[2] for path in added} == {"s2"}
    assert len(added) == 15
    assert clone.law()["num_points"] == 45
    # Where it runs is no part of what it is.
    assert "Stage 'train-law' didn't change" in clone.shell(block(page, "executor.workers"))
    assert {path: clone.stamps()[path] for path in added} == added


def test_dvc_compares_answers_and_draws_runs(clone: Checkout, root: Path) -> None:
    compare = block(root / "docs/dvc.md", "dvc metrics diff")
    said = clone.shell(compare)
    assert re.search(r"results/metrics/law.json +runs +30 +45 +15", said)
    assert re.search(r"results/metrics/law.json +heldout_error ", said)
    assert "third-seed" in said
    differing = json.loads(clone.run("dvc", "metrics", "diff", "--json"))
    assert set(differing) == {"results/metrics/law.json"}
    assert differing["results/metrics/law.json"]["alpha"]["new"] == clone.law()["params"]["alpha"]
    shown = list(csv.DictReader(clone.run("dvc", "exp", "show", "--csv").splitlines()))
    runs = {row["Experiment"] or row["rev"]: row["runs"] for row in shown}
    assert (runs["third-seed"], runs["workspace"]) == ("45", "45")
    assert all(row["num_emergent"] and row["best_gain"] and row["rlm-1_at_1"] for row in shown)
    page = (clone.path / "dvc_plots/index.html").read_text()
    for title in ("loss against tokens", "loss against tokens, far past the best", "abilities against compute"):
        assert title in page
    drawn = json.loads(clone.run("dvc", "plots", "show", "--show-vega", "dvc.yaml::loss against tokens"))
    points = list(csv.DictReader((clone.path / "results/points.csv").open()))
    assert [(row["cell"], row["tokens"], row["loss"]) for row in drawn["data"]["values"]] == [
        (row["cell"], row["tokens"], row["loss"]) for row in points
    ]
    axes = {axis: drawn["encoding"][axis]["field"] for axis in ("x", "y", "color", "shape")}
    assert axes == {"x": "tokens", "y": "loss", "color": "size", "shape": "rev"}


def test_going_back_trains_nothing_and_gc_takes_what_was_tried(clone: Checkout, root: Path) -> None:
    before = clone.stamps()
    assert "30 branches in 10 cells: 30 done" in clone.shell(block(root / "docs/dvc.md", "git restore"))
    assert clone.stamps() == before
    assert clone.law()["num_points"] == 30
    look, room = blocks(root / "docs/recovery.md")
    assert "30 branches in 10 cells: 30 done" in clone.shell(look)
    assert "params.yaml no longer asks for it" in clone.shell(room)
    after = clone.stamps()
    assert {path: before[path] for path in after} == after
    assert {path.parts[-3] for path in before if path not in after} == {f"w{n:04}-s2" for n in (8, 16, 32, 48, 64)}


def test_a_new_token_count_trains_only_itself_and_a_docstring_nothing(checkout: Checkout) -> None:
    before = checkout.stamps()
    schedule = checkout.path / "sweeps/schedule.py"
    schedule.write_text(schedule.read_text().replace('"""The learning rate', '"""All about the learning rate'))
    params = yaml.safe_load((checkout.path / "params.yaml").read_text())
    params["suites"]["law"]["grid"].append({"sizes": [16], "tokens": [98304], "seeds": [0]})
    (checkout.path / "params.yaml").write_text(yaml.safe_dump(params))
    plan = json.loads(checkout.run("scalelab", "plan", "--json", "-"))
    pending = [row for row in plan["cells"] if row["state"] != "done"]
    assert [(row["cell"], row["branch"]) for row in pending] == [("w0016-s0", "t98304")]
    assert pending[0]["predicted_seconds"] > 0
    checkout.run("dvc", "repro", "law", "train-saturation", "train-emergence")
    after = checkout.stamps()
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 1
    assert checkout.law()["num_points"] == 31
    # Taken out again, it leaves the law, though its record stays.
    params["suites"]["law"]["grid"].pop()
    (checkout.path / "params.yaml").write_text(yaml.safe_dump(params))
    checkout.run("dvc", "repro", "law")
    assert checkout.stamps() == after
    assert checkout.law()["num_points"] == 30


PAGES = pages()
# The other commands run here, in the checkout; those that begin so elsewhere, or not at all.
NOT_HERE = {
    "make repro": "what it does the fixture and the other tests do",
    "make test": "these tests",
    "make law": "tests/test_own_text.py",
    "scalelab solve --question 'Who signed": "tests/experiments/test_solve.py",
    "scalelab item argmax --windows 16": "tests/experiments/test_longcontext.py",
    "scalelab solve --question 'what are most": "tests/experiments/test_longcontext.py",
    "python -c 'from pathlib": "tests/evals/test_lm_eval_command.py",
    "lm_eval run": "tests/evals/test_lm_eval_command.py",
}
# Pages whose commands a file of tests runs in a place of its own, one after the other.
OWN_PLACE = {
    "docs/own-data.md": "tests/test_own_text.py",
    "docs/cluster.md": "tests/experiments/executors/test_ray_smoke.py",
    "docs/comparing.md": "tests/experiments/test_compare.py",
    "docs/dvc.md": "tests/test_pipeline.py",
    "docs/recovery.md": "tests/test_pipeline.py",
    "docs/regression.md": "tests/experiments/check/test_cli.py",
}


@pytest.fixture(scope="module")
def tables(checkout: Checkout) -> None:
    """What README and the pages call the files that a user has."""
    rows = [f"{x},{2 + 50 * x**-0.5},{'test' if x > 400 else 'train'}\n" for x in range(100, 900, 50)]
    (checkout.path / "CURVES.csv").write_text("x,y,split\n" + "".join(rows))
    (checkout.path / "FILE").write_text("one line\n")
    names = {"POINTS.csv": "points.csv", "LAW.json": "law.json"}
    names |= {"RUNS.csv": "saturation_points.csv", "TABLE.csv": "emergence_scores.csv"}
    for placeholder, name in names.items():
        shutil.copy(checkout.path / "results" / name, checkout.path / placeholder)


@pytest.fixture(scope="module")
def ran() -> set[str]:
    """Commands that a page before showed too: once is enough."""
    return set()


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("page", [page for page in PAGES if page not in OWN_PLACE])
def test_every_command_of_a_page_runs(checkout: Checkout, serve, ran: set[str], page: str) -> None:
    url = serve(reader, {"max_model_len": 4096}).url
    for command in commands(checkout.path / page):
        elsewhere = command.startswith(tuple(NOT_HERE)) or (page == "README.md" and own_texts(command))
        if elsewhere or command in ran:
            continue
        ran.add(command)
        words = command.replace("use laptop", "use smoke").replace("openai:MODEL", f"openai:m --base-url {url}")
        words = words.replace(
            "CHECKPOINT", "runs/inference/w0016-l2-s0/t32768/checkpoint --prompt 16 --output 8"
        ).split()
        if words[1] == "posttrain":
            with (checkout.path / "params.yaml").open("a") as params:
                params.write("posttrain: {tasks: [count]}\n")
        if words[1] == "check":
            words += ["--against", "HEAD"]  # the baseline's own revision is not in the history of this checkout
        if words[1] in ("bench", "posttrain", "check") and "--dry-run" not in words:
            words.append("--dry-run")
        done = checkout.ended(*words)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, command


def test_commands_that_run_elsewhere_are_shown_and_run(root: Path) -> None:
    shown = [command for page in PAGES for command in commands(root / page)]
    for begin, where in NOT_HERE.items():
        assert any(command.startswith(begin) for command in shown), begin
        assert not where.endswith(".py") or (root / where).exists()
    for page, where in OWN_PLACE.items():
        assert Path(page).name in (root / where).read_text()


def test_make_targets_of_the_pages_exist(root: Path) -> None:
    targets = {
        target for page in PAGES for target in re.findall(r"(?:^|`)make ([a-z]+)", (root / page).read_text(), re.M)
    }
    assert {"repro", "test", "install", "law", "ui", "lab", "proof"} <= targets
    for target in targets:
        planned = subprocess.run(["make", "-n", target], cwd=root, capture_output=True, text=True)
        assert planned.returncode == 0, planned.stderr
