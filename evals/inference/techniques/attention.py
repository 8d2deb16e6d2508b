"""Attention's kernels."""

import copy

from evals.inference.contest import Contest, Setting, Unsupported, generated, lossless, streamed


def sdpa(setting: Setting) -> Contest:
    """torch's fused attention against attention written out."""
    plain = copy.deepcopy(setting.model)
    plain.set_attn_implementation("eager")
    return streamed("eager attention", generated(setting, plain), generated(setting), lossless(setting))


def flash(setting: Setting) -> Contest:
    """FlashAttention's kernels, which need an accelerator."""
    raise Unsupported(
        f"flash-attention has no kernels for {setting.model.device.type}; torch's own is measured as sdpa"
    )
