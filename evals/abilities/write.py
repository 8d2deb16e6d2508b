"""Documents and items as JSON lines; a file appears whole or not at all."""

import json
import math
import os
import random
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evals.abilities.ability import Ability, Item
from evals.abilities.catalogue import ABILITIES
from evals.abilities.generate import documents, items, shots

NUM_SHOTS = 16


def write_documents(
    path: Path, shares: Mapping[str, float], count: int, seed: int, abilities: Mapping[str, Ability] = ABILITIES
) -> dict[str, int]:
    """Writes `count` training documents, {"text", "loss_spans"} a line, in random order; returns how many of each.

    `shares` weighs the abilities against each other: they need not sum to one. Spans are half-open, in characters.
    Raises ValueError for an unknown name and for shares that are negative or all zero.
    """
    counts = apportion(shares, count, abilities)
    rng = random.Random(f"order {seed}")
    order = [name for name, num_documents in counts.items() for _ in range(num_documents)]
    rng.shuffle(order)
    streams = {name: documents(abilities[name], num_documents, seed) for name, num_documents in counts.items()}
    made = (next(streams[name]) for name in order)
    write_lines(path, ({"text": document.text, "loss_spans": document.loss_spans} for document in made))
    return counts


def write_items(directory: Path, count: int, seed: int, abilities: Mapping[str, Ability] = ABILITIES) -> list[Path]:
    """Writes `count` held-out items of every ability and style to <ability>-<style>.jsonl; returns the files.

    Beside each, <ability>-<style>.shots.jsonl gets NUM_SHOTS items of the training side, for k-shot prompts. Raises
    ValueError, before anything is written, where an ability lacks that many contents.
    """
    made: dict[str, list[Item]] = {}
    for name, ability in abilities.items():
        for style in ability.styles:
            made[f"{name}-{style}.jsonl"] = items(ability, style, count, seed)
            made[f"{name}-{style}.shots.jsonl"] = shots(ability, style, NUM_SHOTS, seed)
    for name, lines in made.items():
        write_lines(directory / name, map(asdict, lines))
    return [directory / name for name in made]


def apportion(shares: Mapping[str, float], count: int, abilities: Mapping[str, Ability]) -> dict[str, int]:
    """`count` in whole numbers by the largest remainders, in the order of `abilities`; what gets none is left out."""
    if count < 1:
        raise ValueError(f"count is {count}: ask for 1 document or more")
    for name, share in shares.items():
        if name not in abilities:
            raise ValueError(f"shares names {name}, which is not an ability: use {', '.join(abilities)}")
        if not 0 <= share < math.inf:
            raise ValueError(f"shares.{name} is {share}: give 0 or more")
    total = math.fsum(shares.values())
    if not total:
        raise ValueError("shares has nothing above 0: give an ability a share")
    exact = {name: count * shares[name] / total for name in abilities if shares.get(name)}
    counts = {name: int(portion) for name, portion in exact.items()}
    largest_first = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in largest_first[: count - sum(counts.values())]:
        counts[name] += 1
    return {name: num_documents for name, num_documents in counts.items() if num_documents}


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """A JSON object a line, in a file that appears whole or not at all; makes its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
