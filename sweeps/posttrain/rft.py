"""Rejection fine-tuning: the root's own programs that were right at the least cost, and it trained on them.

One round of Yuan et al. 2023, arXiv 2308.01825. Shapes: B rows, T tokens of the longest.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GraniteForCausalLM

from sweeps.posttrain.params import PosttrainParams
from sweeps.posttrain.reward import cheapest
from sweeps.posttrain.tuning import CLIP_NORM, Start, optimiser, save

UNSCORED = -100  # the label that transformers leaves out of a loss

Pair = tuple[str, str]  # a prompt and the program after it


def train(start: Start, out: Path) -> dict[str, int]:
    """Samples, rejects, trains on what is left and writes the checkpoint; what was sampled, kept and trained on."""
    torch.manual_seed(start.params.seed)
    model, tokenizer = start.model(), start.tokenizer()
    pairs = kept(start, model, tokenizer)
    trained_tokens = fine_tune(model, tokenizer, pairs, start.params)
    save(model, start, out)
    sampled = len(start.prompts) * start.params.group
    return {"sampled": sampled, "kept": len(pairs), "trained_tokens": trained_tokens}


def kept(start: Start, model: Any, tokenizer: Any) -> list[Pair]:
    """The cheapest right programs of each question, of as many as a group has."""
    params, pairs = start.params, []
    for begin in range(0, len(start.prompts), params.batch):
        prompts = start.prompts[begin : begin + params.batch]
        groups = sample(model, tokenizer, prompts, params, start.reply_tokens)
        rollouts = start.run([(begin + i, program) for i, group in enumerate(groups) for program in group])
        for i, (prompt, group) in enumerate(zip(prompts, groups, strict=True)):
            own = rollouts[i * params.group : (i + 1) * params.group]
            pairs += [(prompt, program) for program in cheapest(group, own)]
    return pairs


@torch.inference_mode()
def sample(
    model: Any, tokenizer: Any, prompts: Sequence[str], params: PosttrainParams, reply_tokens: int
) -> list[list[str]]:
    """A group of programs for each prompt, drawn at the temperature from all that the model holds possible."""
    model.eval()
    asked = tokenizer(list(prompts), return_tensors="pt", padding=True).to(model.device)
    found_BT = model.generate(
        input_ids=asked["input_ids"],
        attention_mask=asked["attention_mask"],
        max_new_tokens=reply_tokens,
        do_sample=True,
        temperature=params.temperature,
        top_k=0,
        top_p=1.0,
        num_return_sequences=params.group,
        pad_token_id=tokenizer.pad_token_id,
    )
    programs = tokenizer.batch_decode(found_BT[:, asked["input_ids"].shape[1] :], skip_special_tokens=True)
    return [programs[i : i + params.group] for i in range(0, len(programs), params.group)]


def fine_tune(model: GraniteForCausalLM, tokenizer: Any, pairs: Sequence[Pair], params: PosttrainParams) -> int:
    """Trains on programs after their prompts; returns the tokens of both that it saw, and changes nothing without."""
    if not pairs:
        return 0
    tokens = 0
    adamw, rate = optimiser(model, params.learning_rate, params.epochs * math.ceil(len(pairs) / params.batch))
    model.train()
    for _ in range(params.epochs):
        for places in torch.randperm(len(pairs)).split(params.batch):
            ids_BT, mask_BT, labels_BT = _rows(tokenizer, [pairs[place] for place in places.tolist()])
            tokens += int(mask_BT.sum())
            told = {"input_ids": ids_BT, "attention_mask": mask_BT, "labels": labels_BT}
            loss: Any = model(**{name: tensor.to(model.device) for name, tensor in told.items()}).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            adamw.step()
            rate.step()
            adamw.zero_grad()
    return tokens


def _rows(tokenizer: Any, pairs: Sequence[Pair]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, which of them are there, and labels, [B, T] each: programs with their ends are scored."""
    prompts = tokenizer([prompt for prompt, _ in pairs])["input_ids"]
    programs = tokenizer([program + tokenizer.eos_token for _, program in pairs])["input_ids"]
    longest = max(len(prompt) + len(program) for prompt, program in zip(prompts, programs, strict=True))
    ids, mask, labels = [], [], []
    for prompt, program in zip(prompts, programs, strict=True):
        padding = longest - len(prompt) - len(program)
        ids.append([*prompt, *program, *[tokenizer.pad_token_id] * padding])
        mask.append([1] * (longest - padding) + [0] * padding)
        labels.append([UNSCORED] * len(prompt) + program + [UNSCORED] * padding)
    return torch.tensor(ids), torch.tensor(mask), torch.tensor(labels)
