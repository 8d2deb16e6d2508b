"""Abilities: training documents and held-out items from one definition each. Imports the standard library only."""

from evals.abilities.ability import Ability, Document, Item, Kind, Style
from evals.abilities.catalogue import ABILITIES, check
from evals.abilities.generate import documents, items, shots
from evals.abilities.text import write_text_items
from evals.abilities.write import write_documents, write_items

__all__ = [
    "ABILITIES", "Ability", "Document", "Item", "Kind", "Style", "check", "documents", "items", "shots",
    "write_documents", "write_items", "write_text_items",
]  # fmt: skip
