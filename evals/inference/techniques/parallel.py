"""One model over several processes, in three ways, against the whole of it in one of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch.multiprocessing import (
    ProcessExitedException,  # pyright: ignore[reportPrivateImportUsage]
    ProcessRaisedException,  # pyright: ignore[reportPrivateImportUsage]
)

from evals.inference.checks import Check, repeated, same_bytes, same_logits, token_exact, unfinished_ranks
from evals.inference.contest import Setting, Trial, Unsupported
from evals.inference.protocol import Pairs
from models.decoding.parallel.decode import EXPECTED_BYTES, Decoded, Way, check_ranks, decode
from models.decoding.parallel.launch import launch
from models.decoding.static import StaticDecoder

# Of float32 sums in another order, relative to the largest logit.
LOGITS_LIMIT = 1e-5
LIMIT_SECONDS = 900.0


@dataclass(frozen=True)
class RankContest:
    """A model divided over ranks against the whole of it on the first, in turns within one launch.

    The model of the setting, in this process, is what both are checked by. work: what each rank does. A rank that
    fails, or that others wait for until `limit_seconds`, fails the check.
    """

    setting: Setting
    way: Way
    num_ranks: int
    work: Callable[..., Decoded]
    limit_seconds: float
    decoded: list[Decoded] = field(default_factory=list)
    against: str = "one process, eager steps"
    quality: None = None

    def run(self, num_pairs: int, device: torch.device, least_seconds: float) -> Trial:
        """One launch: logits, tokens and bytes, and the turns, which are told only if every check held.

        There are `num_pairs` of them, whatever the seconds: the ranks would have to agree on more.
        """
        prompts_BT, num_tokens = self.setting.prompts_BT, self.setting.num_tokens
        num_microbatches = min(self.num_ranks, len(prompts_BT))
        arguments = (self.way, self.setting.checkpoint, prompts_BT, num_tokens, num_microbatches, num_pairs)
        try:
            self.decoded[:] = launch(self.num_ranks, self.work, arguments, self.limit_seconds)
        except (ProcessRaisedException, ProcessExitedException, TimeoutError) as error:
            return Trial([unfinished_ranks(self.num_ranks, str(error).strip().splitlines()[-1])], 0, None, None)
        checks = [*self._same_answers(), self._same_bytes(), self._same_again()]
        held = all(check.passed for check in checks)
        return Trial(
            checks,
            len(prompts_BT) * num_tokens,
            None,
            Pairs(self.decoded[0].alone, self.decoded[0].together) if held else None,
        )

    @torch.inference_mode()
    def _same_answers(self) -> list[Check]:
        """The prompt's logits and the tokens of every rank are those of one process."""
        model, prompts_BT, num_tokens = self.setting.model, self.setting.prompts_BT, self.setting.num_tokens
        logits_BTV = model(input_ids=prompts_BT, use_cache=False).logits
        parts = [one.logits_BTV for one in self.decoded if one.logits_BTV is not None]
        whole = StaticDecoder(model, self.setting.window, compile=False).greedy(prompts_BT, num_tokens).tolist()
        return [
            same_logits(logits_BTV, parts if self.way == "tensor" else [torch.cat(parts, dim=1)], LOGITS_LIMIT),
            token_exact(whole * self.num_ranks, [row for one in self.decoded for row in one.tokens]),
        ]

    def _same_again(self) -> Check:
        """What every rank returned in the last turn is what it returned before it was timed."""
        first, last = zip(*((one.tokens, one.last) for one in self.decoded), strict=True)
        return repeated([*chain(*first)], [*chain(*last)])

    def _same_bytes(self) -> Check:
        num_rows, num_prompt = self.setting.prompts_BT.shape
        config, num_tokens, closed_form = self.setting.model.config, self.setting.num_tokens, EXPECTED_BYTES[self.way]
        expected = [
            closed_form(config, rank, self.num_ranks, num_rows, num_prompt, num_tokens)
            for rank in range(self.num_ranks)
        ]
        return same_bytes(expected, [one.bytes for one in self.decoded])

    def figures(self) -> dict[str, Any]:
        """Ranks, and the bytes that all of them together gave to others for a token, the prompt's share included."""
        num_tokens = len(self.setting.prompts_BT) * self.setting.num_tokens
        given = {"bytes_per_token": sum(one.bytes for one in self.decoded) / num_tokens} if self.decoded else {}
        return {"ranks": self.num_ranks, **given}

    def speeds(self) -> dict[str, Any]:
        """Nothing besides the turns."""
        return {}


def parallel(
    way: Way, num_ranks: int, work: Callable[..., Decoded] = decode, limit_seconds: float = LIMIT_SECONDS
) -> Callable[[Setting], RankContest]:
    """The contest of a way of dividing a model over so many processes."""

    def contest(setting: Setting) -> RankContest:
        """Raises Unsupported where heads, layers or tokens do not suffice for the ranks."""
        model = setting.model
        if model.device.type != "cpu":
            raise Unsupported(f"the ranks are processes of the cpu, the model is on {model.device.type}")
        if model.dtype != torch.float32:
            raise Unsupported(f"the limit of the ranks' logits is that of float32, the model is in {model.dtype}")
        try:
            check_ranks(way, model, num_ranks, setting.prompts_BT.shape[1])
        except ValueError as error:
            raise Unsupported(str(error)) from None
        return RankContest(setting, way, num_ranks, work, limit_seconds)

    return contest
