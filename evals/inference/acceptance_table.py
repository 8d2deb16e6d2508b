"""Acceptance over a family: of every smaller member as a drafter of every larger, on the same held-out prompts."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from evals.inference.acceptance import acceptance, continue_greedily
from evals.inference.job import read_window
from evals.inference.precision_table import Member

PROMPTS, TOKENS = 32, 48  # prompts, and tokens of one and of its continuation where the windows have room


def acceptance_rows(members: Sequence[Member], text: str, device: str = "cpu") -> list[dict[str, Any]]:
    """A row a pair: the rate at which drafts stand, by greedy choice and by sampling at temperature 1, with intervals.

    Raises ValueError for a text too short for the prompts.
    """
    if len(members) < 2:
        return []
    tokenizer: Any = AutoTokenizer.from_pretrained(members[0].checkpoint)
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    windows = [read_window(member.checkpoint) for member in members]
    length = min([TOKENS, *(window // 2 for window in windows if window is not None)])
    if len(tokens) < PROMPTS * length:
        raise ValueError(f"the text has {len(tokens)} tokens, {PROMPTS * length} are needed: give a longer one")
    step = len(tokens) // PROMPTS
    prompts = [tokens[start : start + length] for start in range(0, PROMPTS * step, step)]
    models = [AutoModelForCausalLM.from_pretrained(member.checkpoint, dtype=torch.float32) for member in members]
    for model in models:
        torch.nn.Module.to(model.eval(), device)
    rows = []
    for target, model in zip(members, models, strict=True):
        smaller = [place for place, member in enumerate(members) if member.params < target.params]
        continued = continue_greedily(model, prompts, length) if smaller else []
        for place in smaller:
            found = acceptance(model, models[place], continued)
            rows.append(
                {
                    "target": str(target.checkpoint),
                    "drafter": str(members[place].checkpoint),
                    "target_params": target.params,
                    "drafter_params": members[place].params,
                    "target_tokens": target.tokens,
                    "drafter_tokens": members[place].tokens,
                    "way": None,
                    "greedy": found.rate("greedy"),
                    "greedy_ci95": found.interval("greedy"),
                    "sampling": found.rate("sampling"),
                    "sampling_ci95": found.interval("sampling"),
                }
            )
    return rows
