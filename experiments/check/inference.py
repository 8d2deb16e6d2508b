"""What decoding costs in counts: forwards a token, tokens a verification, bytes. They do not depend on the machine.

A decoder with random weights, its head's too, decodes greedily through every wrapper of models/decoding that runs on
one thread.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

from experiments.check.row import REMEDY, Row, missing_rows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

WIDTH, VOCAB_SIZE, WINDOW = 96, 260, 128  # a width that int4 takes
PROMPTS, PROMPT_TOKENS, TOKENS, DRAFT = 3, 24, 40, 4
PERTURBED = 0.06  # noise on the drafter's weights, of their size: it is right about half of the time
MORE_IS_BETTER = ("tokens_per_verification", "share_found")


def measure() -> dict[str, float]:
    """Every count by name; some seconds."""
    import torch

    torch.set_num_threads(1)
    model = random_decoder()
    generator = torch.Generator().manual_seed(1)
    prompts_BT = torch.randint(4, VOCAB_SIZE, (PROMPTS, PROMPT_TOKENS), generator=generator)
    prompts_BT[:, -8:] = prompts_BT[:, :8]  # something for lookup to find
    parts = (static_counts, speculative_counts, prefix_counts, batching_counts)
    counts = {name: count for part in parts for name, count in part(model, prompts_BT).items()}
    return counts | byte_counts(model)


def random_decoder() -> "PreTrainedModel":
    """The family's decoder; its output head begins at zero, where every token is as good as every other."""
    import torch

    from models import decoder
    from models.ladder import Shape

    model = decoder.build(Shape(WIDTH), VOCAB_SIZE, WINDOW, seed=0)
    torch.nn.init.normal_(model.lm_head.weight, generator=torch.Generator().manual_seed(0))
    return model.eval()


class Forwards:
    """Counts a model's forwards, and the tokens that they read, while it is open."""

    def __init__(self, model: "PreTrainedModel") -> None:
        self.model, self.counts = model, Counter()

    def __enter__(self) -> Counter:
        self.handle = self.model.register_forward_pre_hook(self._count, with_kwargs=True)
        return self.counts

    def _count(self, module: "torch.nn.Module", _: Any, arguments: dict[str, Any]) -> None:
        if module is self.model:  # an early exit is a copy that has the hook too
            self.counts.update(forwards=1, read=arguments["input_ids"].numel())

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


def static_counts(model: "PreTrainedModel", prompts_BT: "torch.Tensor") -> dict[str, float]:
    """Decoding over the static cache."""
    from models.decoding.static import StaticDecoder

    decoder = StaticDecoder(model, WINDOW, compile=False)
    with Forwards(model) as counts:
        decoder.greedy(prompts_BT, TOKENS)
    return {
        "static-cache/forwards_per_token": counts["forwards"] / TOKENS,
        "static-cache/read_per_token": counts["read"] / (TOKENS * PROMPTS),
        "static-cache/bytes": decoder.cached_bytes,
    }


def speculative_counts(model: "PreTrainedModel", prompts_BT: "torch.Tensor") -> dict[str, float]:
    """Three drafters: the model with noise on its weights, its own first layers, and lookup in the text so far."""
    from models.decoding.speculative import ModelDrafter, PromptLookup, SpeculativeDecoder, early_exit
    from models.decoding.static import StaticDecoder

    def static(one: "PreTrainedModel") -> StaticDecoder:
        return StaticDecoder(one, WINDOW, compile=False)

    drafting = {"model": perturbed(model), "early-exit": early_exit(model, 2)}
    drafters = {name: ModelDrafter(static(one)) for name, one in drafting.items()} | {"lookup": PromptLookup()}
    told = {}
    for name, drafter in drafters.items():
        decoder = SpeculativeDecoder(static(model), drafter, DRAFT)
        with Forwards(model) as counts, Forwards(drafting.get(name, model)) as drafts:
            found = [decoder.greedy(row_T[None], TOKENS) for row_T in prompts_BT]
        verifications = sum(one.num_verifications for one in found)
        accepted = sum(sum(one.accepted_G) for one in found)
        told[f"speculative-{name}/forwards_per_token"] = counts["forwards"] / (TOKENS * PROMPTS)
        told[f"speculative-{name}/tokens_per_verification"] = 1 + accepted / verifications
        if name in drafting:
            told[f"speculative-{name}/drafter_forwards_per_token"] = drafts["forwards"] / (TOKENS * PROMPTS)
    return told


def perturbed(model: "PreTrainedModel") -> "PreTrainedModel":
    """A copy with noise on its weights."""
    import copy

    import torch

    noisy, generator = copy.deepcopy(model), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in noisy.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter += PERTURBED * parameter.abs().mean() * noise
    return noisy


def prefix_counts(model: "PreTrainedModel", prompts_BT: "torch.Tensor") -> dict[str, float]:
    """Every prompt twice, the second time with another end."""
    from models.decoding.prefix import PrefixDecoder, PrefixTree
    from models.decoding.static import StaticDecoder

    decoder = PrefixDecoder(StaticDecoder(model, WINDOW, compile=False), PrefixTree(1 << 24))
    asked = 0
    with Forwards(model) as counts:
        for row_T in prompts_BT:
            for end in (PROMPT_TOKENS, PROMPT_TOKENS - 6):
                decoder.greedy(row_T[None, :end], TOKENS)
                asked += TOKENS
    return {
        "prefix/forwards_per_token": counts["forwards"] / asked,
        "prefix/read_per_token": counts["read"] / asked,
        "prefix/share_found": decoder.tokens_found / decoder.tokens_seen,
        "prefix/tree_bytes": decoder.tree.bytes,
    }


def batching_counts(model: "PreTrainedModel", prompts_BT: "torch.Tensor") -> dict[str, float]:
    """Requests that are all there from the beginning, by each policy."""
    from evals.inference.load import POLICIES, Request, serve

    lengths = (6, 30, 12, 24, 8, 18)
    requests = [Request(prompts_BT[place % PROMPTS].tolist(), length, 0.0) for place, length in enumerate(lengths)]
    told = {}
    for policy in POLICIES:
        with Forwards(model) as counts:
            serve(model, requests, policy, 3)
        told[f"serve-{policy}/forwards_per_token"] = counts["forwards"] / sum(lengths)
        told[f"serve-{policy}/read_per_token"] = counts["read"] / sum(lengths)
    return told


def byte_counts(model: "PreTrainedModel") -> dict[str, int]:
    """Bytes of weights as they are stored, and of the keys and values of a token."""
    from typing import get_args

    import torch

    from evals.inference.ceilings import state_bytes
    from models.decoding.quantised import Kind, count_bytes, quantise

    told = {"float32/weight_bytes": count_bytes(model), "float32/state_bytes_per_token": state_bytes(model)}
    for kind in get_args(Kind):
        told[f"{kind}/weight_bytes"] = count_bytes(quantise(model, kind))
    told["bfloat16/weight_bytes"] = count_bytes(model.to(torch.bfloat16))  # pyright: ignore[reportArgumentType]
    return told


def compare(kept: dict[str, float], now: dict[str, float], exactly: bool) -> list[Row]:
    """A row a count: more of a cost, or less of a gain, is a regression; the other way round it changed.

    exactly: of no account here; counts are the same everywhere.
    """
    rows = missing_rows("inference", kept, now)
    for name, was in kept.items():
        if name in now:
            rows.append(judge(name, was, now[name]))
    return rows


def judge(name: str, was: float, now: float) -> Row:
    """The row of one count."""
    if was == now:
        return Row("inference", name, was, now, "same", "exact")
    worse = (now < was) if name.endswith(MORE_IS_BETTER) else (now > was)
    reason = f"{'worse' if worse else 'better'} than the baseline: {REMEDY}"
    return Row("inference", name, was, now, "regressed" if worse else "changed", reason)
