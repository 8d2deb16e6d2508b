"""Many requests: together in a batch, or in one that they join as they come."""

from dataclasses import replace
from typing import Any

import numpy as np

from evals.inference.checks import Check, token_exact
from evals.inference.contest import Contest, Setting, Tokens, Unsupported, Work, exact, generated
from evals.inference.load import POLICIES, Policy, Request, poisson_arrivals, serve, summary


def batching(setting: Setting) -> Contest:
    """All rows in one batch against one after another."""
    if len(setting.prompts_BT) < 2:
        raise Unsupported("a batch of one row: give --batch 2 or more")
    alone = [Setting(setting.model, row_T[None], setting.num_tokens) for row_T in setting.prompts_BT]
    works = [generated(one) for one in alone]
    return Contest("one by one", lambda: [work()[0] for work in works], generated(setting), exact)


def continuous_batching(setting: Setting) -> Contest:
    """Requests of different lengths that join a batch as rows fall free, against one after another.

    Four requests a row of the batch, all there at once; `load` tells how each way of serving them does when they arrive
    at random, at a half, one and two times the rate that serving one by one can bear.
    """
    if len(setting.prompts_BT) < 2:
        raise Unsupported("a batch of one row: give --batch 2 or more")
    generator = np.random.default_rng(0)
    rows, (shortest, longest) = setting.prompts_BT.tolist() * 4, (setting.prompts_BT.shape[1] // 2, setting.num_tokens)
    asked = [
        Request(row[: generator.integers(shortest, len(row) + 1)], int(generator.integers(1, longest + 1)), 0.0)
        for row in rows
    ]
    max_rows = len(setting.prompts_BT)

    def served(policy: Policy) -> Work:
        return lambda: [one.tokens for one in serve(setting.model, asked, policy, max_rows)]

    def check(reference: Tokens, found: Tokens) -> list[Check]:
        return [token_exact(reference, found), token_exact(reference, served("static")())]

    def figures() -> dict[str, Any]:
        alone = serve(setting.model, asked, "sequential", max_rows)
        capacity = len(asked) / max(one.last for one in alone)
        table = []
        for share in (0.5, 1.0, 2.0):
            arrivals = poisson_arrivals(len(asked), share * capacity, seed=0)
            arriving = [replace(request, arrival=at) for request, at in zip(asked, arrivals, strict=True)]
            for policy in POLICIES:
                told = summary(arriving, serve(setting.model, arriving, policy, max_rows))
                table.append({"policy": policy, "requests_per_second": share * capacity, "load": share, **told})
        return {"load": table}

    return Contest("one by one", served("sequential"), served("continuous"), check, figures)
