"""The plan's wall clock against the order in which the executor deals."""

import json
from dataclasses import replace

import pytest

from experiments.plan import core_seconds, wall_seconds
from models.ladder import Shape
from sweeps.cost import Probe, Probes
from sweeps.grid import Cell


def test_two_workers_are_dealt_cells_as_the_executor_deals_them(workplace) -> None:
    job = workplace.job()
    steps = job.cell.steps
    jobs = [replace(job, cell=Cell("law", "decoder", *cell, steps)) for cell in ((16, 0), (16, 1), (32, 0), (64, 0))]

    def probes(cold: bool) -> Probes:
        """A cell costs its `build` alone: the smallest model takes longest, as it can on a busy machine."""
        seconds = {16: 4.0, 32: 3.0, 64: 2.0}
        warm = {Shape(width): Probe(build, 0.0, 0.0, 0.0, cold=False) for width, build in seconds.items()}
        return {shape: (replace(probe, first_step=10.0 * cold, cold=True), probe) for shape, probe in warm.items()}

    # By FLOPs: 64 until 2 and 32 until 3, then 16 from 2 to 6 and from 3 to 7. By seconds the end would be 8.
    assert wall_seconds(jobs, probes(cold=True), 2, cold=False) == 7
    assert wall_seconds(jobs, probes(cold=True), 1, cold=False) == 13
    # A cold cache costs the first cell of a width 10 more: 64 until 12, 32 until 13, 16 from 12 to 26 and 13 to 17.
    assert wall_seconds(jobs, probes(cold=True), 2, cold=True) == 26
    assert wall_seconds([], {}, 2, cold=True) == 0


def test_a_worker_loads_the_compiled_step_of_a_width_once(workplace) -> None:
    job = workplace.job()
    jobs = [replace(job, cell=Cell("law", "decoder", 16, seed, job.cell.steps)) for seed in range(3)]
    probe = Probe(build=2.0, first_step=5.0, step=0.0, branch_end=0.0, cold=False)
    probes = {Shape(16): (replace(probe, first_step=30.0, cold=True), probe)}
    assert wall_seconds(jobs, probes, 1, cold=False) == 5 + 3 * 2
    assert wall_seconds(jobs, probes, 2, cold=False) == 5 + 2 * 2
    assert core_seconds(jobs, probes, 1) == 5 + 3 * 2
    assert core_seconds(jobs, probes, 2) == 2 * 5 + 3 * 2
    # The first to compile takes 30 instead of 5.
    assert wall_seconds(jobs, probes, 1, cold=True) == 30 + 3 * 2


def test_what_only_a_cluster_knows_is_not_told(workplace) -> None:
    workplace.set("executor", {"kind": "slurm", "workers": 500})
    totals = json.loads(workplace.scalelab("plan", "--json", "-").stdout)["totals"]
    assert totals["core_seconds"] > 0
    assert totals["workers"] is totals["wall_seconds"] is totals["wall_seconds_cold_cache"] is None
    said = " ".join(workplace.scalelab("plan").stdout.split())
    assert "core-seconds of cores like this machine's (how many cells run at a time is the cluster's to say)" in said


def test_a_cluster_with_gpus_is_priced_where_there_is_none(workplace, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    workplace.set("executor", {"kind": "ray", "device": "cuda"})
    plan = json.loads(workplace.scalelab("plan", "--json", "-").stdout)
    assert plan["totals"]["flops"] > 0
    assert plan["totals"]["core_seconds"] is None
    assert {row["predicted_seconds"] for row in plan["cells"]} == {None}
    said = " ".join(workplace.scalelab("plan").stdout.split())
    assert "seconds unknown: this machine has no GPU to time a step on" in said


def test_cells_over_several_devices_are_priced_without_seconds(workplace) -> None:
    workplace.set("executor.devices_per_cell", 2)
    plan = json.loads(workplace.scalelab("plan", "--json", "-").stdout)
    assert plan["totals"]["flops"] > 0
    assert {row["predicted_seconds"] for row in plan["cells"]} == {None}
    said = " ".join(workplace.scalelab("plan").stdout.split())
    assert "seconds unknown: a step is timed on one device, and a cell has 2" in said


@pytest.mark.parametrize("devices", [1, 2])
def test_gpus_that_this_machine_has_not_are_refused(workplace, monkeypatch, devices) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    workplace.set("executor", {"device": "cuda", "workers": 1, "devices_per_cell": devices})
    assert "executor.device is 'cuda' and torch sees no GPU" in workplace.refusal("plan")
