"""What `executor` may say: a setting that would do nothing is refused, or left out where another kind is asked for."""

import pytest

from experiments.executors.params import ExecutorParams, SlurmParams


def test_another_kind_on_the_command_line_leaves_out_what_is_the_old_kinds_alone() -> None:
    ray = ExecutorParams(kind="ray", device="cuda", gpu_share=0.25, address="head:6379", store="s3://b", workers=3)
    slurm = ExecutorParams(kind="slurm", slurm=SlurmParams(minutes=9), store="s3://b")
    assert ray.overridden("local", None) == ExecutorParams(device="cuda", workers=3)
    assert ray.overridden("slurm", None) == ExecutorParams(kind="slurm", device="cuda", store="s3://b", workers=3)
    assert ray.overridden("ray", None) == ray.overridden(None, None) == ray
    assert slurm.overridden("ray", "auto") == ExecutorParams(kind="ray", address="auto", store="s3://b")
    with pytest.raises(ValueError, match="address is given and kind is 'slurm'"):
        slurm.overridden(None, "auto")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "local"}, "kind is 'local': set kind to ray"),
        ({"kind": "slurm"}, "kind is 'slurm': set kind to ray"),
        ({"device": "cpu"}, "device is 'cpu': set device to cuda"),
        ({"devices_per_cell": 2}, "devices_per_cell is 2: set devices_per_cell to 1"),
    ],
)
def test_a_share_of_a_gpu_is_refused_where_it_would_do_nothing(change, told) -> None:
    with pytest.raises(ValueError, match=f"^gpu_share is 0.5 and {told}, or leave gpu_share out$"):
        ExecutorParams(**{"kind": "ray", "device": "cuda", "gpu_share": 0.5, **change})


def test_rows_that_do_not_divide_over_the_devices_are_refused_before_anything_runs(workplace) -> None:
    workplace.set("executor.devices_per_cell", 3)
    for verb in ("train", "plan"):
        assert workplace.refusal(verb) == (
            "scalelab: executor.devices_per_cell is 3 and a batch of law has 8 rows: give a divisor of 8"
        )
