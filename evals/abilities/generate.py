"""From a definition to documents of the training side and items of the held-out side."""

import random
from collections.abc import Collection, Iterator

from evals.abilities.ability import Ability, Document, Example, Item, Style, is_held_out

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


def items(ability: Ability, style: Style, count: int, seed: int) -> list[Item]:
    """Items of the held-out side with contents that all differ; the same contents in the same order in every style.

    Raises ValueError where the ability lacks the style or that many contents.
    """
    return _items(ability, style, count, random.Random(f"{ability.name} items {seed}"), held_out=True)


def shots(ability: Ability, style: Style, count: int, seed: int) -> list[Item]:
    """Items of the training side, otherwise as `items`: the examples to put before a held-out item's prompt."""
    return _items(ability, style, count, random.Random(f"{ability.name} shots {seed}"), held_out=False)


def _items(ability: Ability, style: Style, count: int, rng: random.Random, held_out: bool) -> list[Item]:
    if style not in ability.styles:
        raise ValueError(f"{ability.name} has no style {style!r}: use {' or '.join(ability.styles)}")
    if count < 1:
        raise ValueError(f"count is {count}: ask {ability.name} for 1 item or more")
    used: dict[str, Example] = {}
    while len(used) < count:
        example = _draw(ability, rng, held_out, used)
        used[example.key] = example
    return [_item(ability, style, example) for example in used.values()]


def _item(ability: Ability, style: Style, example: Example) -> Item:
    choices = example.choices if style == "direct" else ()
    prompt, target = example.prompt(style), example.target(style)
    return Item(ability.name, style, prompt, target, choices, example.answer, example.key, ability.chance)


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
