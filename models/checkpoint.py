"""A checkpoint is a Hugging Face directory: transformers and lm-eval read it as it is."""

import shutil
from pathlib import Path

from transformers import PreTrainedModel


def save(model: PreTrainedModel, tokenizer: Path, out: Path) -> None:
    """Writes weights, config and the tokenizer's files into `out`, which must not exist yet."""
    out.mkdir(parents=True)
    model.save_pretrained(out)
    for file in sorted(tokenizer.iterdir()):
        shutil.copy(file, out / file.name)
