"""Every arm, by name."""

from collections.abc import Callable
from functools import partial
from typing import Any

from evals.longcontext.arms.agentic import Agentic
from evals.longcontext.arms.arm import Arm
from evals.longcontext.arms.chunks import MapReduce, Summary
from evals.longcontext.arms.offload import Offload
from evals.longcontext.arms.recursive import Recursive
from evals.longcontext.arms.retrieval import BM25, Dense
from evals.longcontext.arms.whole import Direct, Truncation
from rlm.lm import LanguageModel
from rlm.prompts import Prompts

READERS = (Direct, Truncation, BM25, Dense, Agentic, Summary, MapReduce, Offload)
ARMS: dict[str, Callable[..., Arm]] = {one.called: one for one in READERS}
ARMS |= {f"rlm-{depth}": partial(Recursive, depth=depth) for depth in (0, 1, 2)}
WITH_VECTORS = {Dense.called, Agentic.called}


def arm(name: str, lm: LanguageModel, prompts: Prompts, leaf_tokens: int, **dials: Any) -> Arm:
    """The arm of a name; `dials` are its own.

    Raises ValueError for a name that none has, and for one that needs vectors where the model gives none.
    """
    if name not in ARMS:
        raise ValueError(f"arm {name}: there is none such: give one of {', '.join(ARMS)}")
    if name in WITH_VECTORS and not hasattr(lm, "embed"):
        raise ValueError(f"arm {name}: {lm.name} gives no vectors: use a model from a folder, or leave the arm out")
    return ARMS[name](lm, prompts, leaf_tokens, **dials)
