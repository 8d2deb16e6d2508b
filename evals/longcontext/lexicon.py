"""A closed world of words drawn from a seed: a line means what lexicon and negation make of it, whatever the spelling.

3,000 words in 12 classes hold about 10,750 bits, and a program of 96 tokens at most 864: it cannot bring the lexicon
along, so whoever wants to know what a line is about has to have it read by something that learnt the words. That is not
so of the 40 verbs, which hold under 120 bits: a program that may read text itself could know them.
"""

import hashlib
import random
from collections.abc import Callable, Collection, Sequence
from typing import Literal

Side = Literal["train", "held-out", "any"]

CLASSES: tuple[str, ...] = (
    "fruit", "metal", "storm", "cloth", "music", "river", "spice", "beast", "tool", "game", "ship", "light"
)  # fmt: skip
RELATIONS = ("leads", "pays", "knows")
EVENTS = ("take", "swap", "pass", "greet")
NONE = "none"

# B is the word that counts; A and C do not. Whether the word that counts stands first or last is even, and the same
# small words stand before both: position alone, or `not` alone, does not tell.
TEMPLATES = (
    "B",
    "only B",
    "not A but B",
    "never A , rather B",
    "B instead of A",
    "less A than B",
    "more B than A",
    "not less B than A",
    "not more A than B",
    "B and never A",
    "far from A , B",
    "A ? wrong , B",
    "hardly A , mostly B",
    "not A , not C , but B",
    "B over A",
    "B , not A , not C",
)
SLOTS = ("A", "B", "C")
QUESTION_WORDS = (
    "about", "all", "are", "at", "by", "common", "count", "end", "events", "facts", "give", "goes", "has",
    "how", "in", "is", "kind", "kinds", "last", "line", "lines", "list", "many", "month", "most", "number", "numbers",
    "one", "opposite", "opposites", "or", "pairs", "rows", "same", "start", "the", "then", "there", "user", "what",
    "where", "which", "who", "with", "both",
)  # fmt: skip
PUNCTUATION = (":", ",", "?", "-")
SIDES = 8  # One composition in eight is held out.
VERBS_EACH, PASSIVE_EACH = 8, 3  # of a relation; of an event four, of `pass` two of them passive
VOWELS, CONSONANTS = "aeiou", "bcdfghjklmnprstvwyz"


def is_held_out(template: int, word: str) -> bool:
    """Whether a word in a template is kept from training, the same in every process and for ever.

    By the hash of the template's text and the word. A phrase of the side `train` has no held-out word, in any place; in
    one of the side `held-out` the word that counts is held out, and the others are any.
    """
    return hashlib.blake2b(f"{TEMPLATES[template]}\n{word}".encode(), digest_size=8).digest()[0] % SIDES == 0


SKELETONS = {
    tuple("_" if token in SLOTS else token for token in template.split()): (
        index,
        [token for token in template.split() if token in SLOTS].index("B"),
    )
    for index, template in enumerate(TEMPLATES)
}
TEMPLATE_WORDS = sorted({token for skeleton in SKELETONS for token in skeleton if token.isalpha()})


class Lexicon:
    """The words of a seed.

    class_of: of every content word. relation_of, event_of: what a verb says, and whether it is passive: `a V b` with a
    passive verb is `b V a` with an active one. opposite_of: of every class its opposite, an involution.

    In a context no word is part of another, of a name, a verb or a class: a literal stands where the word stands.
    """

    def __init__(self, seed: int = 0, num_words: int = 3000, num_names: int = 200) -> None:
        # Fewer, and a class might have no word that is held out of some template.
        if not 1200 <= num_words <= 30_000:
            raise ValueError(f"num_words {num_words}: give 1,200 to 30,000")
        if not 100 <= num_names <= 1000:
            raise ValueError(f"num_names {num_names}: give 100 to 1,000")
        rng = random.Random(f"lexicon {seed}")
        self.seed = seed
        fixed = {*CLASSES, *RELATIONS, *EVENTS, *TEMPLATE_WORDS, *QUESTION_WORDS, NONE}
        self.names = tuple(_draw(rng, "CVCV", num_names, lambda name: _is_apart(name, fixed)))
        prefixes = set(self.names)
        words = _draw(rng, "CVCVC", num_words, lambda word: word[:4] not in prefixes and _is_apart(word, fixed))
        verbs = _draw(rng, "CVCCVC", VERBS_EACH * len(RELATIONS) + 4 * len(EVENTS), lambda v: _is_apart(v, fixed))
        # Drawn at random and dealt in turn: a class has no spelling of its own, and classes are of one size.
        self.class_of = {word: CLASSES[index % len(CLASSES)] for index, word in enumerate(words)}
        deal = iter(verbs)
        self.relation_of = {
            next(deal): (relation, number >= VERBS_EACH - PASSIVE_EACH)
            for relation in RELATIONS
            for number in range(VERBS_EACH)
        }
        self.event_of = {
            next(deal): (event, event == "pass" and number >= 2) for event in EVENTS for number in range(4)
        }
        shuffled = rng.sample(CLASSES, len(CLASSES))
        self.opposite_of = {kind: shuffled[index ^ 1] for index, kind in enumerate(shuffled)}
        self._words = {kind: words[index :: len(CLASSES)] for index, kind in enumerate(CLASSES)}
        self._pools: dict[tuple[str, int, Side], list[str]] = {}

    def vocabulary(self) -> list[str]:
        """Every token of contexts, questions and answers, the newline too; each once, in the same order always."""
        fixed = sorted({*CLASSES, *RELATIONS, *EVENTS, *TEMPLATE_WORDS, *QUESTION_WORDS, NONE})
        return [
            "\n", *PUNCTUATION, *"0123456789", *fixed, *self.names, *self.relation_of, *self.event_of, *self.class_of
        ]  # fmt: skip

    def pool(self, kind: str, template: int, side: Side) -> list[str]:
        """The words of a class that may stand in a template."""
        key = (kind, template, side)
        if key not in self._pools:
            self._pools[key] = [
                word
                for word in self._words[kind]
                if side == "any" or is_held_out(template, word) == (side == "held-out")
            ]
        return self._pools[key]

    def template(self, line: Sequence[str]) -> tuple[int, list[str], int]:
        """Of a line's tokens the template after the colon, its content words, and which of them counts.

        Raises ValueError for a line without a colon and for a phrase of no template.
        """
        phrase = line[line.index(":") + 1 :]
        words = [token for token in phrase if token in self.class_of]
        skeleton = tuple("_" if token in self.class_of else token for token in phrase)
        if skeleton not in SKELETONS:
            raise ValueError(f"{' '.join(line)!r} has a phrase of no template")
        index, place = SKELETONS[skeleton]
        return index, words, place

    def meaning(self, line: Sequence[str]) -> str:
        """The class of a line: of the word that counts after negation and contrast. Raises ValueError as `template`."""
        _, words, place = self.template(line)
        return self.class_of[words[place]]


def _draw(rng: random.Random, shape: str, count: int, is_wanted: Callable[[str], bool]) -> list[str]:
    """So many different strings of consonants (C) and vowels (V)."""
    found: dict[str, None] = {}
    while len(found) < count:
        word = "".join(rng.choice(CONSONANTS if sign == "C" else VOWELS) for sign in shape)
        if word not in found and is_wanted(word):
            found[word] = None
    return list(found)


def _is_apart(word: str, others: Collection[str]) -> bool:
    return not any(word in other or other in word for other in others)
