"""One technique on one model at one cell of the grid, from checkpoint to row; made to run in a process of its own."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from evals.inference.ceilings import Ceilings, count_params, roofline_seconds
from evals.inference.checks import Check
from evals.inference.contest import Contest, Setting, Trial, Unsupported
from evals.inference.job import KINDS, Job
from evals.inference.resources import latencies, peak_bytes
from evals.inference.techniques import CONTESTS

OUR_FAMILIES = {"granite": "decoder"}  # by transformers' name of the architecture


def measure(job: Job, ceilings: Ceilings) -> dict[str, Any]:
    """The row of results/inference.json: a speed only where every check held. Raises ValueError for bad input.

    An incorrect row has its checks and what the technique loses, and nothing that was timed; one that is not supported
    has the reason alone.
    """
    assert job.technique in KINDS, f"{job.technique} is a composition"
    logging.set_verbosity_error()
    setting = prepare(job)
    head = {"technique": job.technique, "kind": KINDS[job.technique], **describe(job, setting)}
    try:
        contest = CONTESTS[job.technique](setting)
        trial = contest.run(job.num_pairs, setting.model.device, job.least_seconds)
    except Unsupported as why:
        return head | {"status": "unsupported", "reason": str(why)}
    judged = {"against": contest.against, **told_checks(trial), **contest.figures()}
    judged["quality"] = asdict(contest.quality()) if contest.quality else None
    if trial.pairs is None:
        return head | judged | {"status": "incorrect", "reason": "; ".join(map(explain, trial.failed))}
    ratio, interval = trial.pairs.ratio()
    seconds = float(np.median(trial.pairs.technique))
    least = None  # of requests of many lengths, and of several processes: the ceilings are one thread's
    if isinstance(contest, Contest) and trial.num_tokens == job.batch * job.new_tokens:
        least = roofline_seconds(contest.model, job.batch, job.prompt_tokens, job.new_tokens, ceilings) / seconds
    return head | judged | {
        "status": "ok",
        "reason": "",
        "ratio": ratio,
        "ci95": interval,
        "seconds": asdict(trial.pairs),
        "tokens_per_second": trial.num_tokens / seconds,
        "first_call_seconds": trial.first_call_seconds,
        **compiling(),
        "roofline_share": least,
        **contest.speeds(),
        **(resources(contest, setting.model.device) if isinstance(contest, Contest) else {}),
    }  # fmt: skip


def resources(contest: Contest, device: torch.device) -> dict[str, Any]:
    """Figures that are taken in calls of their own; a process for each rank has none."""
    told = latencies(contest.streams, device) if contest.streams else {}
    works = (contest.baseline, contest.technique)
    for name, work, held in zip(("baseline_peak_bytes", "peak_bytes"), works, contest.held, strict=True):
        peak = peak_bytes(work, held, device)
        if peak is not None:
            told[name] = peak
    return told


def compiling() -> dict[str, Any]:
    """Seconds that this process compiled for, both sides and checks, and how often what it needed was kept or made."""
    counted = torch._dynamo.utils.counters["inductor"]
    return {
        "compile_seconds": torch._dynamo.utils.calculate_time_spent().get("entire_frame_compile", 0.0),
        "compile_cache": {"hits": counted["fxgraph_cache_hit"], "misses": counted["fxgraph_cache_miss"]},
    }


def describe(job: Job, setting: Setting) -> dict[str, Any]:
    """What every row says of its model and its cell of the grid."""
    config = setting.model.config
    return {
        "model": str(job.model),
        "family": OUR_FAMILIES.get(config.model_type, config.model_type),
        "params": count_params(setting.model),
        "layers": config.num_hidden_layers,
        "size": config.hidden_size,
        "dtype": str(setting.model.dtype).removeprefix("torch."),
        "prompt": job.prompt_tokens,
        "output": job.new_tokens,
        "batch": job.batch,
        "device": job.device,
        "metric": "seconds from prompt to last token",
    }


def told_checks(trial: Trial) -> dict[str, Any]:
    """All checks, and the one that stands for them: the first that failed, else the first."""
    (check, *_) = trial.failed or trial.checks
    return {"check": asdict(check), "checks": [asdict(check) for check in trial.checks]}


def explain(check: Check) -> str:
    """A failed check in a line."""
    return f"{check.kind} {check.value:.4g} (limit {check.limit:g}): {check.detail}"


def prepare(job: Job) -> Setting:
    """Models in the job's precision and prompts from evenly spaced places of the text."""
    model = load(job.model, job)
    drafter = None
    if job.drafter is not None:
        drafter = load(job.drafter, job)
        vocabularies = [AutoTokenizer.from_pretrained(path).get_vocab() for path in (job.model, job.drafter)]
        if vocabularies[0] != vocabularies[1]:
            raise ValueError(f"drafter {job.drafter}: its tokenizer is not that of {job.model}, give one with the same")
    prompts_BT = read_prompts(job).to(job.device)
    return Setting(
        model, prompts_BT, job.new_tokens, drafter, job.model,
        text=job.text, training_text=job.training_text, tasks=job.tasks, items=job.items, random=job.random,
    )  # fmt: skip


def load(path: Path, job: Job) -> PreTrainedModel:
    """A Hugging Face directory, with torch's fused attention."""
    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[job.dtype]
    model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation="sdpa")
    torch.nn.Module.to(model, job.device)
    return model.eval()


def read_prompts(job: Job) -> torch.Tensor:
    """Prompts (B, T); raises ValueError where the text is too short for as many that do not overlap."""
    tokens = AutoTokenizer.from_pretrained(job.model)(job.text, add_special_tokens=False)["input_ids"]
    needed = job.batch * job.prompt_tokens
    if len(tokens) < needed:
        raise ValueError(f"the text has {len(tokens)} tokens, {job.batch} prompts need {needed}: give a longer one")
    starts = np.linspace(0, len(tokens) - job.prompt_tokens, job.batch).astype(int)
    return torch.tensor([tokens[start : start + job.prompt_tokens] for start in starts])
