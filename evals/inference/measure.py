"""One technique on one model at one cell of the grid, from checkpoint to row; made to run in a process of its own."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from evals.inference.ceilings import Ceilings
from evals.inference.contest import Contest, Setting, Unsupported
from evals.inference.job import Job
from evals.inference.protocol import take_turns, timed
from evals.inference.techniques import CONTESTS


def measure(job: Job, ceilings: Ceilings) -> dict[str, Any]:
    """The row of results/inference.json: a speed only where every check held. Raises ValueError for bad input."""
    logging.set_verbosity_error()
    setting = prepare(job)
    head = {
        "technique": job.technique,
        "model": str(job.model),
        "params": count_params(setting.model),
        "dtype": str(setting.model.dtype).removeprefix("torch."),
        "prompt": job.prompt_tokens,
        "output": job.new_tokens,
        "batch": job.batch,
        "device": job.device,
        "metric": "seconds from prompt to last token",
    }
    try:
        contest = CONTESTS[job.technique](setting)
        checks, first_seconds = judge(contest, setting)
    except Unsupported as why:
        return head | {"status": "unsupported", "reason": str(why)}
    judged = {"against": contest.against, "checks": [asdict(check) for check in checks], **contest.figures()}
    judged["quality"] = asdict(contest.quality()) if contest.quality else None
    failed = [check for check in checks if not check.passed]
    if failed:
        reason = "; ".join(
            f"{check.kind} {check.value:.4g} (limit {check.limit:g}): {check.detail}" for check in failed
        )
        return head | judged | {"status": "incorrect", "reason": reason}
    device = setting.model.device
    pairs = take_turns(contest.baseline, contest.technique, job.num_pairs, device)
    ratio, interval = pairs.ratio()
    seconds = float(np.median(pairs.technique))
    return head | judged | {
        "status": "ok",
        "reason": "",
        "ratio": ratio,
        "ci95": interval,
        "seconds": asdict(pairs),
        "tokens_per_second": job.batch * job.new_tokens / seconds,
        "first_call_seconds": first_seconds,
        "roofline_share": least_seconds(setting, ceilings) / seconds,
    }  # fmt: skip


def judge(contest: Contest, setting: Setting) -> tuple[list[Any], float]:
    """The checks on a first call of both sides, which also warms them up, and the technique's seconds in it."""
    reference = contest.baseline()
    found: list[list[int]] = []
    seconds = timed(lambda: found.extend(contest.technique()), setting.model.device)
    return contest.check(reference, found), seconds


def prepare(job: Job) -> Setting:
    """Models in float32 and prompts from evenly spaced places of the text."""
    model = load(job.model, job.device)
    drafter = None
    if job.drafter is not None:
        drafter = load(job.drafter, job.device)
        vocabularies = [AutoTokenizer.from_pretrained(path).get_vocab() for path in (job.model, job.drafter)]
        if vocabularies[0] != vocabularies[1]:
            raise ValueError(f"drafter {job.drafter}: its tokenizer is not that of {job.model}")
    return Setting(model, read_prompts(job).to(job.device), job.new_tokens, drafter)


def load(path: Path, device: str) -> PreTrainedModel:
    """A Hugging Face directory in float32, with torch's fused attention."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="sdpa")
    torch.nn.Module.to(model, device)
    return model.eval()


def read_prompts(job: Job) -> torch.Tensor:
    """Prompts (B, T); raises ValueError where the text is too short for as many that do not overlap."""
    tokens = AutoTokenizer.from_pretrained(job.model)(job.text, add_special_tokens=False)["input_ids"]
    needed = job.batch * job.prompt_tokens
    if len(tokens) < needed:
        raise ValueError(f"the text has {len(tokens)} tokens, {job.batch} prompts need {needed}: give a longer one")
    starts = np.linspace(0, len(tokens) - job.prompt_tokens, job.batch).astype(int)
    return torch.tensor([tokens[start : start + job.prompt_tokens] for start in starts])


def count_params(model: PreTrainedModel) -> int:
    """Parameters without the embedding and the output head."""
    ends = {id(module.weight) for module in (model.get_input_embeddings(), model.get_output_embeddings()) if module}
    return sum(parameter.numel() for parameter in model.parameters() if id(parameter) not in ends)


def least_seconds(setting: Setting, ceilings: Ceilings) -> float:
    """What reading every weight once a step, or multiplying by it once a token, takes at the machine's ceilings.

    A batch decodes all its rows in one step. A model that stays in the processor's caches may beat the bandwidth of
    memory, and a technique that takes fewer steps beats both.
    """
    head = setting.model.get_output_embeddings()
    multiplied = count_params(setting.model) + (head.weight.numel() if head else 0)
    read = setting.num_tokens * multiplied * 4 / ceilings.bytes_per_second
    tokens = setting.num_tokens * len(setting.prompts_BT)
    return max(read, 2 * multiplied * tokens / ceilings.flops_per_second["float32"])
