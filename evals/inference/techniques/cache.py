"""What is not computed twice: keys and values of the tokens so far, and of the prompts' common beginnings."""

from dataclasses import replace

from evals.inference.contest import (
    Contest,
    Setting,
    Tokens,
    Unsupported,
    all_rows,
    generated,
    lossless,
    row_by_row,
    streamed,
)
from models.decoding.prefix import PrefixDecoder, PrefixTree
from models.decoding.static import Emit, StaticDecoder, unheard

PREFIX_BYTES = 1 << 28
OWN_SHARE = 9  # of 576 tokens, 512 are the same in all prompts


def kv_cache(setting: Setting) -> Contest:
    """Keys and values kept against computed again at each token."""
    without, held = generated(setting, use_cache=False), ([setting.model], [setting.model])
    return streamed("no cache", without, generated(setting), lossless(setting), held)


def static_cache(setting: Setting) -> Contest:
    """A cache of one size and a compiled step against generate with its growing cache."""
    decoder = StaticDecoder(setting.model, setting.window)
    steps, held = all_rows(setting, decoder.greedy), ([setting.model], [decoder])
    return streamed("dynamic cache", generated(setting), steps, lossless(setting), held)


def prefix_cache(setting: Setting) -> Contest:
    """Requests one after another that share a beginning, with a prefix tree against each computed whole.

    The rows are made to share all but their last ninth. The tree is empty before and after every turn; both sides
    decode by compiled steps.
    """
    length = setting.prompts_BT.shape[1]
    own = max(1, length // OWN_SHARE)
    prompts_BT = setting.prompts_BT.clone()
    prompts_BT[:, : length - own] = prompts_BT[0, : length - own]
    shared = replace(setting, prompts_BT=prompts_BT)
    steps = StaticDecoder(setting.model, setting.window)
    try:
        decoder = PrefixDecoder(steps, PrefixTree(PREFIX_BYTES))
    except ValueError as error:
        raise Unsupported(str(error)) from None
    with_tree = row_by_row(shared, decoder.greedy)

    told: dict[str, float] = {}

    def technique(emit: Emit = unheard) -> Tokens:
        found = with_tree(emit)
        told.update(hit_rate=decoder.tokens_found / decoder.tokens_seen, bytes=float(decoder.tree.bytes))
        decoder.forget()
        return found

    return streamed(
        "no prefix cache, static cache",
        row_by_row(shared, steps.greedy),
        technique,
        lossless(shared),
        ([steps], [steps]),
        lambda: told,
    )
