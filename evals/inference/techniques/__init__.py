"""Every acceleration as a contest, by the name a row gives it."""

from collections.abc import Callable

from evals.inference.contest import Contest, Setting
from evals.inference.techniques.attention import flash, sdpa
from evals.inference.techniques.aware import quantised_aware
from evals.inference.techniques.cache import kv_cache, prefix_cache, static_cache
from evals.inference.techniques.parallel import RankContest, parallel
from evals.inference.techniques.precision import bfloat16, quantised
from evals.inference.techniques.serving import batching, continuous_batching
from evals.inference.techniques.speculation import early_exit_draft, prompt_lookup, speculative, speculative_sampling

CONTESTS: dict[str, Callable[[Setting], Contest | RankContest]] = {
    "kv-cache": kv_cache,
    "static-cache": static_cache,
    "sdpa": sdpa,
    "flash": flash,
    "bfloat16": bfloat16,
    "int8-weight-only": quantised("int8-weight-only"),
    "int8-dynamic": quantised("int8-dynamic"),
    "int4-weight-only": quantised("int4-weight-only"),
    "int8-dynamic-qat": quantised_aware("int8-dynamic"),
    "int4-weight-only-qat": quantised_aware("int4-weight-only"),
    "speculative": speculative,
    "speculative-sampling": speculative_sampling,
    "prompt-lookup": prompt_lookup,
    "early-exit": early_exit_draft,
    "prefix-cache": prefix_cache,
    "batching": batching,
    "continuous-batching": continuous_batching,
    "tensor-parallel-2": parallel("tensor", 2),
    "tensor-parallel-4": parallel("tensor", 4),
    "pipeline-parallel-2": parallel("pipeline", 2),
    "pipeline-parallel-4": parallel("pipeline", 4),
    "sequence-parallel-2": parallel("sequence", 2),
    "sequence-parallel-4": parallel("sequence", 4),
}
