"""What a measuring process does, from its first line on: one thread, and the models loaded anew."""

from dataclasses import replace
from typing import Any

import torch

from evals.inference.ceilings import Ceilings, measure_ceilings
from evals.inference.contest import generated
from evals.inference.job import COMPOSITIONS, Job
from evals.inference.measure import measure, prepare
from evals.inference.protocol import control
from evals.inference.techniques.compositions import compose

CONTROL_TOKENS = 8
MAX_STEPS = 64  # compiled: one for every number of tokens, of every decoder


def ceilings_of(device: str) -> Ceilings:
    """The machine's, for one thread."""
    torch.set_num_threads(1)
    return measure_ceilings(torch.device(device))


def control_of(job: Job) -> dict[str, Any]:
    """The same work on both sides: of few tokens, twenty controls of whole rows would take longer than all rows."""
    torch.set_num_threads(1)
    setting = prepare(job)
    work = generated(replace(setting, num_tokens=CONTROL_TOKENS))
    work()
    return control(work, job.num_pairs, setting.model.device)


def row_of(asked: tuple[Job, Ceilings]) -> dict[str, Any]:
    """The row of a technique or of a composition."""
    torch.set_num_threads(1)
    torch._dynamo.config.recompile_limit = MAX_STEPS
    job, ceilings = asked
    return compose(job) if job.technique in COMPOSITIONS else measure(job, ceilings)
