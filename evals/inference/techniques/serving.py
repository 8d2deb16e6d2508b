"""Many requests: together in a batch, or in one that they join as they come."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

from evals.inference.checks import Check
from evals.inference.contest import (
    Contest,
    Setting,
    Stream,
    Tokens,
    Unsupported,
    Work,
    generated,
    lossless,
    streamed,
)
from evals.inference.load import POLICIES, Policy, Request, Served, poisson_arrivals, serve, summary
from models.decoding.static import unheard

REQUESTS_A_ROW = 4
LOADS = (0.5, 2.0, 8.0)  # times the rate that one by one can bear: light, too much for it, and more than a batch serves


def batching(setting: Setting) -> Contest:
    """All rows in one batch against one after another."""
    if len(setting.prompts_BT) < 2:
        raise Unsupported("a batch of one row: ask for 2 or more")
    held = ([setting.model], [setting.model])
    return streamed("one by one", one_by_one(setting), generated(setting), lossless(setting), held)


def one_by_one(setting: Setting) -> Stream:
    """generate, a row at a time."""
    works = [generated(replace(setting, prompts_BT=row_T[None])) for row_T in setting.prompts_BT]
    return lambda emit=unheard: [work(emit)[0] for work in works]


def continuous_batching(setting: Setting) -> Contest:
    """Requests of different lengths that join a batch as rows fall free, against one after another.

    Four requests a row of the batch, all there at once. `load` tells how each way of serving them does when they arrive
    at random, at a half, twice and eight times the rate that serving one by one can bear; what each request gets is
    checked as well.
    """
    if len(setting.prompts_BT) < 2:
        raise Unsupported("a batch of one row: ask for 2 or more")
    asked, max_rows = requests(setting), len(setting.prompts_BT)

    def served(policy: Policy) -> Work:
        return lambda: _tokens(serve(setting.model, asked, policy, max_rows))

    @cache
    def arriving() -> list[tuple[float, float, Policy, list[Request], list[Served]]]:
        """Every policy at every load: the load, requests a second, and what was served."""
        alone = serve(setting.model, asked, "sequential", max_rows)
        capacity = len(asked) / max(one.last for one in alone)
        found = []
        for load in LOADS:
            arrivals = poisson_arrivals(len(asked), load * capacity, seed=0)
            late = [replace(request, arrival=at) for request, at in zip(asked, arrivals, strict=True)]
            for policy in POLICIES:
                found.append((load, load * capacity, policy, late, serve(setting.model, late, policy, max_rows)))
        return found

    def check(reference: Tokens, found: Tokens) -> list[Check]:
        others = [served("static")(), *(_tokens(told) for *_, told in arriving())]
        prompts = [request.prompt for request in asked]
        all_others = lossless(setting, prompts * len(others))(reference * len(others), list(chain(*others)))
        return lossless(setting, prompts)(reference, found) + all_others

    def speeds() -> dict[str, Any]:
        return {
            "load": [
                {"policy": policy, "requests_per_second": rate, "load": load, **summary(late, told)}
                for load, rate, policy, late, told in arriving()
            ]
        }

    held = ([setting.model], [setting.model])
    return Contest("one by one", served("sequential"), served("continuous"), check, held, speeds=speeds)


def requests(setting: Setting) -> list[Request]:
    """Half to all of the prompts, each several times, that want any number of tokens up to the setting's."""
    generator = np.random.default_rng(0)
    shortest = setting.prompts_BT.shape[1] // 2
    return [
        Request(
            row[: generator.integers(max(1, shortest), len(row) + 1)],
            int(generator.integers(1, setting.num_tokens + 1)),
            0.0,
        )
        for row in setting.prompts_BT.tolist() * REQUESTS_A_ROW
    ]


def _tokens(served: Sequence[Served]) -> Tokens:
    return [one.tokens for one in served]
