"""What is not computed twice: keys and values of the tokens so far, and of the prompts' common beginnings."""

from evals.inference.contest import Contest, Setting, Tokens, Unsupported, exact, generated, row_by_row
from models.decoding.prefix import PrefixDecoder, PrefixTree
from models.decoding.static import StaticDecoder

PREFIX_BYTES = 1 << 28


def kv_cache(setting: Setting) -> Contest:
    """Keys and values kept against computed again at each token."""
    return Contest("no cache", generated(setting, use_cache=False), generated(setting), exact)


def static_cache(setting: Setting) -> Contest:
    """A cache of one size and a compiled step against generate with its growing cache."""
    decoder = StaticDecoder(setting.model, setting.window)
    return Contest(
        "dynamic cache",
        generated(setting),
        lambda: decoder.greedy(setting.prompts_BT, setting.num_tokens).tolist(),
        exact,
    )


def prefix_cache(setting: Setting) -> Contest:
    """Prompts that share a beginning, with a prefix tree against each computed whole.

    The rows are made to share all but their last eighth.
    """
    length = setting.prompts_BT.shape[1]
    own = max(1, length // 8)
    prompts_BT = setting.prompts_BT.clone()
    prompts_BT[:, : length - own] = prompts_BT[0, : length - own]
    shared = Setting(setting.model, prompts_BT, setting.num_tokens)
    told: list[PrefixDecoder] = []

    def technique() -> Tokens:
        try:
            decoder = PrefixDecoder(setting.model, PrefixTree(PREFIX_BYTES))
        except ValueError as error:
            raise Unsupported(str(error)) from None
        told[:] = [decoder]
        return row_by_row(shared, decoder.greedy)()

    def baseline() -> Tokens:
        return row_by_row(shared, lambda row, num: PrefixDecoder(setting.model, PrefixTree(1)).greedy(row, num))()

    return Contest(
        "no prefix cache",
        baseline,
        technique,
        exact,
        lambda: {"hit_rate": told[0].tokens_found / told[0].tokens_seen, "bytes": float(told[0].tree.bytes)},
    )
