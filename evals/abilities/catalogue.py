"""Every ability at its default dials, by name."""

from evals.abilities.ability import Ability, Item
from evals.abilities.arithmetic import Addition, Chain, Multiplication
from evals.abilities.classes import Classify, Labels
from evals.abilities.constraints import Format
from evals.abilities.copying import Induction, Recall
from evals.abilities.functions import Boolean, Linear
from evals.abilities.instructions import Compose, Transform
from evals.abilities.symbols import Logic, Parity, Pointers

ABILITIES: dict[str, Ability] = {
    ability.name: ability
    for ability in (
        Induction(),
        Recall(),
        Labels(),
        Classify(),
        Linear(),
        Boolean(),
        Transform(),
        Compose(),
        Format(),
        Addition(),
        Multiplication(),
        Chain(),
        Parity(),
        Pointers(),
        Logic(),
    )
}


def check(item: Item, text: str) -> bool:
    """Whether `text`, which a model said after the item's prompt, gives a right answer."""
    return ABILITIES[item.ability].check(item, text)
