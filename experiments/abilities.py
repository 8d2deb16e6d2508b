"""The abilities stage: the mixture's documents, their token store, and the held-out items that lm-eval asks."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evals.abilities.generate import items
from evals.abilities.params import AbilitiesParams
from evals.abilities.text import TARGET_CHARACTERS, write_text_items
from evals.abilities.write import write_documents, write_items, write_lines
from experiments.project import ABILITIES, ABILITY_TOKENS, DATA, Project
from sweeps.corpus.documents import build_documents
from sweeps.tokens import TokenData, load_tokens

HALF_A_CHARACTER = "\ufffd"
DOCUMENTS, VALIDATION, ITEMS = ABILITIES / "documents.jsonl", ABILITIES / "validation.jsonl", ABILITIES / "items"


def build_abilities(project: Project) -> dict[str, Any]:
    """Writes documents, items and token store below data/abilities; returns the store's manifest.

    Raises ValueError where the corpus, whose tokenizer and text it takes, is missing, and where an ability cannot give
    the items at its dials.
    """
    params, identity = project.abilities, project.abilities_identity()
    corpus = load_tokens(DATA)
    shutil.rmtree(ITEMS, ignore_errors=True)  # Those of other shares would stay.
    write_items(ITEMS, params.items, params.seed, params.catalogue)
    if params.text_share:
        texts = [json.loads(line)["text"] for line in (DATA / "validation.jsonl").open()]
        late = params.max_characters - TARGET_CHARACTERS
        write_text_items(ITEMS, texts, params.items, params.seed, late_characters=late)
    num_text = round(params.documents * params.text_share)
    write_documents(DOCUMENTS, params.ability_shares, params.documents - num_text, params.seed, params.catalogue)
    _append(DOCUMENTS, _pieces(corpus, [corpus.train], params, num_text))
    held_out = list(_held_out(params))
    write_lines(VALIDATION, held_out)
    num_text = round(len(held_out) * params.text_share / (1 - params.text_share))
    _append(VALIDATION, _pieces(corpus, corpus.validation, params, num_text))
    return build_documents(DOCUMENTS, VALIDATION, corpus.tokenizer_path, identity, ABILITY_TOKENS)


def _held_out(params: AbilitiesParams) -> Iterator[dict[str, Any]]:
    """Every item as a document of which the target is scored."""
    for ability in params.catalogue.values():
        for style in ability.styles:
            for item in items(ability, style, params.items, params.seed):
                text = item.prompt + item.target
                yield {"text": text, "loss_spans": [[len(item.prompt), len(text)]]}


def _pieces(
    corpus: TokenData, texts: list[np.ndarray], params: AbilitiesParams, count: int
) -> Iterator[dict[str, Any]]:
    """Pieces of text at random places, no longer than the longest document; the first character is no target."""
    from transformers import AutoTokenizer  # Seconds, which a verb that only reads does not have.

    tokenizer = AutoTokenizer.from_pretrained(corpus.tokenizer_path)
    rng = np.random.default_rng(params.seed)
    for _ in range(count):
        text = texts[rng.integers(len(texts))]
        start = rng.integers(max(1, len(text) - params.max_characters))
        piece = tokenizer.decode(text[start : start + params.max_characters], skip_special_tokens=True)
        piece = piece.replace(HALF_A_CHARACTER, "") or "\n"
        yield {"text": piece, "loss_spans": [[min(1, len(piece) - 1), len(piece)]]}


def _append(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
