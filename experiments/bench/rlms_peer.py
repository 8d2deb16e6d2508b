"""Run by path in the peer's own environment, where nothing is ours: one run by PyPI's rlms of one program of sub-calls.

Standard input: {"calls", "batched", "answer_seconds", "concurrency"}. Standard output ends in one line of JSON: seconds
of the run, imports left out, and the sub-calls that were answered.
"""

import asyncio
import importlib
import json
import sys
import time
from typing import Any

ONE_BY_ONE = "for _ in range({calls}):\n    llm_query('q t')"
BATCHED = "llm_query_batched(['q t'] * {calls})"
END = "\nanswer['content'] = '1'\nanswer['ready'] = True"


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """The run, its model in the process, where ours is."""
    base, types, solver = (
        importlib.import_module(f"rlm.{name}") for name in ("clients.base_lm", "core.types", "core.rlm")
    )
    program = (BATCHED if asked["batched"] else ONE_BY_ONE).format(calls=asked["calls"]) + END
    usage = types.ModelUsageSummary(total_calls=1, total_input_tokens=1, total_output_tokens=1)
    num_answered = 0

    class Scripted(base.BaseLM):
        """The root writes the program; a sub-call is answered after its seconds."""

        def completion(self, prompt: Any, model: str | None = None) -> str:
            nonlocal num_answered
            if prompt != "q t":
                return f"```repl\n{program}\n```"
            if asked["answer_seconds"]:
                time.sleep(asked["answer_seconds"])
            num_answered += 1
            return "1"

        async def acompletion(self, prompt: Any, model: str | None = None) -> str:
            nonlocal num_answered
            if asked["answer_seconds"]:
                await asyncio.sleep(asked["answer_seconds"])
            num_answered += 1
            return "1"

        def get_usage_summary(self) -> Any:
            return types.UsageSummary(model_usage_summaries={"scripted": usage})

        def get_last_usage(self) -> Any:
            return usage

    vars(solver)["get_client"] = lambda backend, arguments: Scripted(model_name="scripted")
    began = time.perf_counter()
    found = solver.RLM(
        backend="openai",
        backend_kwargs={"model_name": "scripted"},
        max_concurrent_subcalls=asked["concurrency"],
    ).completion("some context")
    seconds = time.perf_counter() - began
    assert found.response == "1", found.response
    return {"seconds": seconds, "calls": num_answered}


if __name__ == "__main__":
    print("\n" + json.dumps(run(json.load(sys.stdin))))
