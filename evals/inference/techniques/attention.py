"""Attention's kernels."""

import copy

from evals.inference.contest import Contest, Setting, Unsupported, exact, generated


def sdpa(setting: Setting) -> Contest:
    """torch's fused attention against attention written out."""
    plain = copy.deepcopy(setting.model)
    plain.set_attn_implementation("eager")
    return Contest("eager attention", generated(setting, plain), generated(setting), exact)


def flash(setting: Setting) -> Contest:
    """FlashAttention's kernels, which need an accelerator."""
    raise Unsupported(
        f"flash-attention has no kernels for {setting.model.device.type}; torch's own is measured as sdpa"
    )
