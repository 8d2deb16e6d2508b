"""From a definition to documents of the training side and items of the held-out side."""

import random
from collections.abc import Collection, Iterator

from evals.abilities.ability import MAX_ITEM_CHARACTERS, Ability, Document, Example, Item, Style, is_held_out

SHOT_SEPARATOR = "\n"
# So many draws in a row without a new content, and the contents are taken to be used up.
MAX_DRAWS = 30_000


def documents(ability: Ability, count: int, seed: int) -> Iterator[Document]:
    """Documents of the training side, each in one of the ability's styles at random; contents may come again.

    The same ability and seed give the same documents in every process, and fewer are the first of more.
    """
    rng = random.Random(f"{ability.name} documents {seed}")
    for _ in range(count):
        example = _draw(ability, rng, held_out=False, used=())
        style = rng.choice(ability.styles)
        yield Document(ability.name, example.prompt(style), example.target(style))


def items(ability: Ability, style: Style, count: int, seed: int, shots: int = 0) -> list[Item]:
    """Items of the held-out side with contents that all differ; the same contents in the same order in every style.

    With `shots`, so many documents of the training side in the same style stand before each prompt, joined by newlines.
    Raises ValueError where the ability lacks the style or that many contents, and where the shots do not fit.
    """
    _check_request(ability, style, count, shots)
    rng = random.Random(f"{ability.name} items {seed}")
    shot_rng = random.Random(f"{ability.name} shots {seed}")
    used: dict[str, Example] = {}
    while len(used) < count:
        example = _draw(ability, rng, held_out=True, used=used)
        used[example.key] = example
    made = []
    for key, example in used.items():
        prompt = _shots(ability, style, shots, shot_rng) + example.prompt(style)
        choices = example.choices if style == "direct" else ()
        made.append(Item(ability.name, style, prompt, example.target(style), choices, example.answer, key))
    return made


def _draw(ability: Ability, rng: random.Random, held_out: bool, used: Collection[str]) -> Example:
    """An example of that side whose content is not in `used`; raises ValueError where there is none left."""
    for _ in range(MAX_DRAWS):
        example = ability.draw(rng, held_out)
        if example.key not in used and is_held_out(ability.name, example.key) == held_out:
            return example
    side = "held-out" if held_out else "training"
    raise ValueError(
        f"{ability.name}: found only {len(used)} {side} contents at these dials: ask for no more, or make it harder"
    )


def _shots(ability: Ability, style: Style, shots: int, rng: random.Random) -> str:
    """Complete examples of the training side, no content twice, each with the separator after it."""
    used: dict[str, Example] = {}
    for _ in range(shots):
        example = _draw(ability, rng, held_out=False, used=used)
        used[example.key] = example
    return "".join(e.prompt(style) + e.target(style) + SHOT_SEPARATOR for e in used.values())


def _check_request(ability: Ability, style: Style, count: int, shots: int) -> None:
    if style not in ability.styles:
        raise ValueError(f"{ability.name} has no style {style!r}: use {' or '.join(ability.styles)}")
    if count < 1:
        raise ValueError(f"count is {count}: ask {ability.name} for 1 item or more")
    max_shots = (MAX_ITEM_CHARACTERS + 1) // (ability.max_characters + 1) - 1
    if not 0 <= shots <= max_shots:
        raise ValueError(
            f"shots is {shots}: give 0 to {max_shots}, which fit with an item of {ability.name} in "
            f"{MAX_ITEM_CHARACTERS} characters"
        )
