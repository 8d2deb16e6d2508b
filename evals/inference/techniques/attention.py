"""Attention's kernels."""

import copy

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from evals.inference.contest import Contest, Setting, Stream, Tokens, Unsupported, generated, lossless, streamed
from models.decoding.static import Emit, unheard


def sdpa(setting: Setting) -> Contest:
    """torch's fused attention against attention written out."""
    plain = copy.deepcopy(setting.model)
    plain.set_attn_implementation("eager")
    held = ([plain], [setting.model])
    return streamed("eager attention", generated(setting, plain), generated(setting), lossless(setting), held)


def flash(setting: Setting) -> Contest:
    """FlashAttention (Dao et al. 2022) in torch's kernels for accelerators, against its products written out."""
    device, dtype = setting.model.device.type, setting.model.dtype
    if device == "cpu":
        raise Unsupported(
            "flash attention's kernels are for accelerators, the model is on cpu; sdpa is torch's own here"
        )
    if dtype == torch.float32:
        raise Unsupported("flash attention takes 16 bits, the model is in float32: ask for dtype bfloat16")

    def by(backend: SDPBackend) -> Stream:
        decode = generated(setting)

        def work(emit: Emit = unheard) -> Tokens:
            with sdpa_kernel(backend):
                return decode(emit)

        return work

    plain, fused = by(SDPBackend.MATH), by(SDPBackend.FLASH_ATTENTION)
    held = ([setting.model], [setting.model])
    return streamed("attention as matrix products", plain, fused, lossless(setting), held)
