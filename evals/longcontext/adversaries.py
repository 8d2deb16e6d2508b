"""Opponents that do not read: what they score is what a task gives away.

None is told an item's gold or meta when it answers. They are fitted to items of one task and one length.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import mean, median
from typing import Any, Protocol

import numpy as np

from evals.longcontext.item import Item
from evals.longcontext.lexicon import CLASSES
from evals.longcontext.scorers import normalised, score

Heuristic = Callable[[Item], Any]
MOST_PAIRS = 11  # what may always be given
# Of naive Bayes: the values of a few at which it finds a leaked answer most surely.
SMOOTHING, LEAST_SHARE = 0.1, 0.05


class Adversary(Protocol):
    """Answers items after it saw others of the same task with their golds."""

    def fit(self, items: Sequence[Item]) -> None:
        """Learns from questions, contexts and golds of whole documents."""
        ...

    def answer(self, item: Item) -> Any:
        """An output for another item."""
        ...


class BestRegex:
    """The best of the programs below on the items it is fitted to: literals, positions, frequencies, constants.

    `name` says which it was.
    """

    def fit(self, items: Sequence[Item]) -> None:
        """Tries all of them."""
        heuristics = {**HEURISTICS, **_constants(items)}
        scores = {name: mean(score(item, heuristic(item)) for item in items) for name, heuristic in heuristics.items()}
        self.name = max(scores, key=lambda name: scores[name])
        self._best = heuristics[self.name]

    def answer(self, item: Item) -> Any:
        """What the best says."""
        return self._best(item)


class BagOfWords:
    """Naive Bayes from the words of question and context, in any order, to the answers that it was fitted to."""

    def fit(self, items: Sequence[Item]) -> None:
        """Counts the words of the documents of each answer; the rare ones, which no answer has often, are noise."""
        self._golds = sorted({item.gold for item in items})
        of_documents = Counter(word for item in items for word in set(_words(item)))
        known = sorted(word for word, count in of_documents.items() if count >= LEAST_SHARE * len(items))
        self._column = {word: number for number, word in enumerate(known)}
        counts = np.full((len(self._golds), len(self._column)), SMOOTHING)
        documents = np.zeros(len(self._golds))
        row = {gold: number for number, gold in enumerate(self._golds)}
        for item in items:
            documents[row[item.gold]] += 1
            counts[row[item.gold]] += self._counted(item)
        self._weights = np.log(counts / counts.sum(1, keepdims=True))
        self._bias = np.log(documents / documents.sum())

    def answer(self, item: Item) -> str:
        """The likeliest."""
        return self._golds[int(np.argmax(self._weights @ self._counted(item) + self._bias))]

    def _counted(self, item: Item) -> np.ndarray:
        known = [self._column[word] for word in _words(item) if word in self._column]
        return np.bincount(np.array(known, dtype=int), minlength=len(self._column)).astype(float)


def _lines(item: Item) -> list[str]:
    return item.context.splitlines()


def _words(item: Item) -> list[str]:
    return [f"? {word}" for word in item.question.split()] + item.context.split()


def _names(item: Item) -> list[str]:
    """The words of the question that stand in the context at a line's start or end."""
    ends = {word for line in _lines(item) for word in (line.split()[0], line.split()[-1])}
    return [word for word in item.question.split() if word in ends and word not in ",?:" and not word.isdigit()]


def _digits(line: str) -> str:
    return normalised(" ".join(token for token in line.split() if token.isdigit()))


def _short(item: Item) -> list[list[str]]:
    """The lines with a verb."""
    return [line.split() for line in _lines(item) if len(line.split()) == 3]


def _followed(item: Item, choose: Callable[[list[str]], str]) -> str:
    """From the first name of the question to the name beside it, as often as relations are named."""
    words = item.question.split()
    relations = sum(word in ("leads", "pays", "knows") for word in words)
    name = (_names(item) or [""])[0]
    for _ in range(relations):
        beside = [a if b == name else b for a, _, b in _short(item) if name in (a, b)]
        name = choose(beside) if beside else name
    return name


def _always_moved(item: Item) -> str:
    """Whoever had the thing last by name, moved by every event that names the holder."""
    holders = item.question.split(" : ")[-1].split()
    thing = next((w for w in item.question.split() if any(w == line[-1] for line in _short(item))), "")
    holder = ""
    for first, _, second in _short(item):
        if second == thing:
            holder = first
        elif holder in (first, second) and first in holders and second in holders:
            holder = second if holder == first else first
    return holder


def _last_taker(item: Item) -> str:
    return next(
        (a for a, _, b in reversed(_short(item)) if b in item.question.split() and a in item.question.split()), ""
    )


def _rarest(item: Item) -> str:
    """The number of the line whose words are the rarest in the text."""
    counts = Counter(item.context.split())
    return _digits(max(_lines(item), key=lambda line: mean(-math.log(counts[word]) for word in line.split())))


def _user_pairs(item: Item) -> list[tuple[str, str]]:
    """Of lines by one user, the first."""
    both = combinations(_lines(item), 2)
    return [(_digits(a), _digits(b)) for a, b in both if a.split()[0] == b.split()[0]][:MOST_PAIRS]


def _word_pairs(item: Item) -> list[tuple[str, str]]:
    """Of lines with the most words in common."""
    sets = [(_digits(line), {word for word in line.split()[1:] if len(word) > 4}) for line in _lines(item)]
    common = Counter({(a, b): len(s & t) for (a, s), (b, t) in combinations(sets[:150], 2) if s & t})
    return [pair for pair, _ in common.most_common(MOST_PAIRS)]


HEURISTICS: dict[str, Heuristic] = {
    "nothing": lambda item: "",
    "first class named": lambda item: next((w for w in item.question.split() if w in CLASSES), ""),
    "last class named": lambda item: next((w for w in item.question.split()[::-1] if w in CLASSES), ""),
    "number of the first line": lambda item: _digits(_lines(item)[0]),
    "number of the last line": lambda item: _digits(_lines(item)[-1]),
    "number of the longest line": lambda item: _digits(max(_lines(item), key=lambda line: len(line.split()))),
    "number of the shortest line": lambda item: _digits(min(_lines(item), key=lambda line: len(line.split()))),
    "number of the rarest line": _rarest,
    "lines": lambda item: len(_lines(item)),
    "the first beside": lambda item: _followed(item, lambda names: names[0]),
    "the last beside": lambda item: _followed(item, lambda names: names[-1]),
    "the commonest beside": lambda item: _followed(item, lambda names: Counter(names).most_common(1)[0][0]),
    "the last taker": _last_taker,
    "always moved": _always_moved,
    "first of the last event": lambda item: (_short(item) or [[""]])[-1][0],
    "last of the last event": lambda item: (_short(item) or [[""]])[-1][-1],
    "first name named": lambda item: (_names(item) or [""])[0],
    "last name named": lambda item: (_names(item) or [""])[-1],
    "commonest name named": lambda item: max(_names(item) or [""], key=item.context.split().count),
    "rarest name named": lambda item: min(_names(item) or [""], key=item.context.split().count),
    "pairs of a user": _user_pairs,
    "pairs with common words": _word_pairs,
}


def _constants(items: Sequence[Item]) -> dict[str, Heuristic]:
    """What is the same always, and for numbers the same share of lines, or of those with a name of the question."""
    commonest = Counter(item.gold for item in items).most_common(1)[0][0]
    found: dict[str, Heuristic] = {"the commonest answer": lambda item: commonest}
    if items[0].answer != "number":
        return found
    numbers = [int(normalised(item.gold)) for item in items]
    middle, share = median(numbers), sum(numbers) / sum(map(_num_named, items))
    return {
        **found,
        "the middle answer": lambda item: round(middle),
        "a share of the lines named": lambda item: round(share * _num_named(item)),
    }


def _num_named(item: Item) -> int:
    """Lines with the question's name or month, or all."""
    wanted = _wanted(item)
    return sum(all(word in line for word in wanted) for line in _lines(item))


def _wanted(item: Item) -> list[str]:
    """The question's name, and its month as it stands after one."""
    month = re.search(r"month (\d \d)", item.question)
    return [*_names(item), *([f" {month[1]} "] if month else [])]
