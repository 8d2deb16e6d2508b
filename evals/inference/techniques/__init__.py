"""Every acceleration as a contest, by the name a row gives it."""

from collections.abc import Callable

from evals.inference.contest import Contest, Setting
from evals.inference.techniques.attention import flash, sdpa
from evals.inference.techniques.cache import kv_cache, prefix_cache, static_cache
from evals.inference.techniques.precision import bfloat16, quantised
from evals.inference.techniques.serving import batching, continuous_batching
from evals.inference.techniques.speculation import early_exit_draft, prompt_lookup, speculative

CONTESTS: dict[str, Callable[[Setting], Contest]] = {
    "kv-cache": kv_cache,
    "static-cache": static_cache,
    "sdpa": sdpa,
    "flash": flash,
    "bfloat16": bfloat16,
    "int8-weight-only": quantised("int8-weight-only"),
    "int8-dynamic": quantised("int8-dynamic"),
    "int4-weight-only": quantised("int4-weight-only"),
    "speculative": speculative,
    "prompt-lookup": prompt_lookup,
    "early-exit": early_exit_draft,
    "prefix-cache": prefix_cache,
    "batching": batching,
    "continuous-batching": continuous_batching,
}
