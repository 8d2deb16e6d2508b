"""Which abilities a sweep trains on, in which shares, and how many items judge them. Standard library only."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from evals.abilities.ability import Ability
from evals.abilities.catalogue import ABILITIES

TEXT = "text"


@dataclass(frozen=True)
class AbilitiesParams:
    """The mixture: `shares` weighs abilities, and pieces of the corpus's text, by their number of documents.

    dials: fields of an ability that differ from its default. documents: how many to train on, all shares together;
    items: held out, of every ability and style; seed: of the draws.
    """

    shares: dict[str, float]
    documents: int
    items: int = 128
    dials: dict[str, dict[str, int]] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("documents", "items"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give 1 or more")
        for name, share in self.shares.items():
            if name not in ABILITIES and name != TEXT:
                raise ValueError(f"shares names {name}, which is not an ability: use {', '.join([TEXT, *ABILITIES])}")
            if not 0 <= share < math.inf:
                raise ValueError(f"shares.{name} is {share}: give 0 or more")
        for name in self.dials:
            if name not in ABILITIES:
                raise ValueError(f"dials names {name}, which is not an ability: use {', '.join(ABILITIES)}")
        if not self.catalogue:
            raise ValueError("shares has no ability above 0: give one a share")

    @property
    def catalogue(self) -> dict[str, Ability]:
        """The abilities with a share, at their dials."""
        return {
            name: _dialled(ability, self.dials.get(name, {}))
            for name, ability in ABILITIES.items()
            if self.shares.get(name)
        }

    @property
    def ability_shares(self) -> dict[str, float]:
        """The shares of the abilities against each other."""
        return {name: self.shares[name] for name in self.catalogue}

    @property
    def text_share(self) -> float:
        """The part of all documents that is text."""
        return self.shares.get(TEXT, 0.0) / math.fsum(self.shares.values())

    @property
    def max_characters(self) -> int:
        """The longest document of any of them, and the length of a piece of text."""
        return max(ability.max_characters for ability in self.catalogue.values())


def _dialled(ability: Ability, dials: dict[str, Any]) -> Ability:
    assert dataclasses.is_dataclass(ability)
    known = [f.name for f in dataclasses.fields(ability) if f.type in (int, "int")]
    for dial in dials:
        if dial not in known:
            raise ValueError(f"dials.{ability.name}.{dial} is not a known dial: use {', '.join(known)}")
    return dataclasses.replace(ability, **dials)
