"""The world stage: lessons for the built-in model, and their token store."""

import itertools
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evals.abilities.write import write_lines
from evals.longcontext.lessons import FIRST, Lessons, pieces
from evals.longcontext.lexicon import Side
from experiments.project import WORLD, WORLD_TOKENS, Project
from rlm.policy import policy_tokenizer
from sweeps.corpus.documents import build_documents

DOCUMENTS, VALIDATION, TOKENIZER = WORLD / "documents.jsonl", WORLD / "validation.jsonl", WORLD / "tokenizer"


def build_world(project: Project) -> dict[str, Any]:
    """Writes lessons, held-out ones, tokenizer and token store below data/world; returns the store's manifest."""
    params = project.world
    lexicon = params.lexicon
    policy_tokenizer(pieces(lexicon)).save_pretrained(TOKENIZER)
    sides: list[tuple[Path, Side, int]] = [
        (DOCUMENTS, "train", params.lessons),
        (VALIDATION, "held-out", params.held_out),
    ]
    for path, side, count in sides:
        first = FIRST if side == "train" or params.lessons <= FIRST else 0  # held out is what is learnt at last
        lessons = itertools.islice(Lessons(lexicon, params.seed, side, first), count)
        write_lines(path, (lesson.row() for lesson in lessons))
    return build_documents(DOCUMENTS, VALIDATION, TOKENIZER, asdict(params), WORLD_TOKENS)
