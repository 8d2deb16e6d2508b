"""Silence about torchao: transformers imports it wherever it is installed, so that every command would open with this.

Standard library only, and to be called before transformers is imported.
"""

import logging
import warnings


def silence_torchao() -> None:
    """Drops what torchao 0.18 says at its import under torch 2.13, and nothing else that these loggers carry.

    That kernels for GPUs, none of which we use, do not load on this machine; that its enums are registered in a way
    that torch will give up; and that torch.compile's cache falls back on a hash of its own for its tensors.
    """
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).addFilter(_is_news)
    warnings.filterwarnings("ignore", r"Int\w+Tensor does not implement _stable_hash_for_caching", UserWarning)


def _is_news(record: logging.LogRecord) -> bool:
    if record.name == "torchao":
        return not str(record.msg).startswith("Failed to load ")
    subject = record.args[0] if isinstance(record.args, tuple) and record.args else None
    return not (isinstance(subject, type) and subject.__module__.startswith("torchao."))
