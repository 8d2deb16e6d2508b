"""The closed world: exact literals, classes that spelling does not give away, compositions that are held out."""

import random
from collections import Counter
from collections.abc import Callable
from math import log, sqrt

import pytest

from evals.longcontext.lexicon import (
    CLASSES,
    EVENTS,
    NONE,
    RELATIONS,
    SIDES,
    TEMPLATE_WORDS,
    TEMPLATES,
    Lexicon,
    is_held_out,
)


def test_sizes(lexicon: Lexicon) -> None:
    assert len(lexicon.class_of) == 3000
    assert Counter(lexicon.class_of.values()) == dict.fromkeys(CLASSES, 250)
    assert len(set(lexicon.names)) == 200
    assert Counter(relation for relation, _ in lexicon.relation_of.values()) == dict.fromkeys(RELATIONS, 8)
    for meanings in (lexicon.relation_of, lexicon.event_of):
        assert any(is_passive for _, is_passive in meanings.values())
    vocabulary = lexicon.vocabulary()
    assert len(vocabulary) == len(set(vocabulary))
    assert all(len(token.split()) == 1 or token == "\n" for token in vocabulary)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_word_is_part_of_another(seed: int) -> None:
    lexicon = Lexicon(seed)
    fixed = {*CLASSES, *RELATIONS, *EVENTS, *TEMPLATE_WORDS, NONE}
    words = {*fixed, *lexicon.names, *lexicon.relation_of, *lexicon.event_of, *lexicon.class_of}
    assert len(words) == len(fixed) + 200 + 24 + 16 + 3000
    parts = {
        word[start:end]: word
        for word in words
        for start in range(len(word))
        for end in range(start + 1, len(word) + 1)
        if end - start < len(word)
    }
    assert {word: parts[word] for word in words if word in parts} == {}


def test_the_same_seed_gives_the_same_world(lexicon: Lexicon) -> None:
    assert Lexicon(0).vocabulary() == lexicon.vocabulary()
    assert Lexicon(0).class_of == lexicon.class_of
    assert Lexicon(0).opposite_of == lexicon.opposite_of
    assert set(Lexicon(1).class_of) != set(lexicon.class_of)


def test_opposites_are_an_involution(lexicon: Lexicon) -> None:
    for kind, other in lexicon.opposite_of.items():
        assert kind != other
        assert lexicon.opposite_of[other] == kind
    assert set(lexicon.opposite_of) == set(CLASSES)


def bigrams(word: str) -> list[str]:
    padded = f"^{word}$"
    return [f"{place}{padded[place : place + 2]}" for place in range(len(padded) - 1)] + list(padded)


def cross_validated(class_of: dict[str, str]) -> float:
    """How often naive Bayes on letters and placed bigrams is right, on fifths that it was not fitted to."""
    words = random.Random(0).sample(list(class_of), len(class_of))
    right = 0
    for fold in range(5):
        counts: dict[str, Counter[str]] = {kind: Counter() for kind in CLASSES}
        for word in (word for index, word in enumerate(words) if index % 5 != fold):
            counts[class_of[word]].update(bigrams(word))
        totals = {kind: counts[kind].total() + 1000 for kind in CLASSES}
        for word in words[fold::5]:
            features = bigrams(word)
            guess = max(CLASSES, key=lambda k: sum(log((counts[k][f] + 1) / totals[k]) for f in features))
            right += guess == class_of[word]
    return right / len(words)


def test_spelling_does_not_tell_the_class(lexicon: Lexicon) -> None:
    chance = 1 / len(CLASSES)
    spread = sqrt(chance * (1 - chance) / len(lexicon.class_of))
    assert abs(cross_validated(lexicon.class_of) - chance) < 3.3 * spread  # one seed in a thousand would fail


def test_a_spelling_that_tells_is_found(lexicon: Lexicon) -> None:
    by_letter = {word: CLASSES[ord(word[-1]) % len(CLASSES)] for word in lexicon.class_of}
    assert cross_validated(by_letter) > 0.9


def test_the_word_that_counts_is_no_matter_of_position(which_counts: dict[str, int]) -> None:
    assert len(which_counts) == len(TEMPLATES)
    contrasts = {phrase: place for phrase, place in which_counts.items() if phrase.count("_") > 1}
    last = sum(place == phrase.count("_") - 1 for phrase, place in contrasts.items())
    assert 0.4 <= last / len(contrasts) <= 0.6


@pytest.mark.parametrize("template", range(len(TEMPLATES)))
def test_meaning_agrees_with_the_table(lexicon: Lexicon, reader: Callable[[str], str], template: int) -> None:
    words = random.Random(template).sample(list(lexicon.class_of), 3)
    phrase = " ".join(dict(zip("ABC", words, strict=True)).get(token, token) for token in TEMPLATES[template].split())
    line = f"ana 0 3 1 4 : {phrase}"
    assert lexicon.meaning(line.split()) == reader(line) == lexicon.class_of[words[1]]


@pytest.mark.parametrize(
    "line", ["ana 0 3 1 4 not", "ana 0 3 1 4 : not but", "ana 0 3 1 4 : but WORD", "ana : WORD WORD"]
)
def test_meaning_of_no_phrase(lexicon: Lexicon, line: str) -> None:
    word = next(iter(lexicon.class_of))
    with pytest.raises(ValueError):
        lexicon.meaning(line.replace("WORD", word).split())


def test_about_one_composition_in_eight_is_held_out(lexicon: Lexicon) -> None:
    for template in range(len(TEMPLATES)):
        share = sum(is_held_out(template, word) for word in lexicon.class_of) / len(lexicon.class_of)
        assert abs(share - 1 / SIDES) < 0.03
    # Which is no matter of the word alone: each is in training with some template.
    assert not any(all(is_held_out(t, word) for t in range(len(TEMPLATES))) for word in lexicon.class_of)
    for kind in CLASSES:
        for template in range(len(TEMPLATES)):
            train, held_out = (set(lexicon.pool(kind, template, side)) for side in ("train", "held-out"))
            assert held_out
            assert not train & held_out
            assert train | held_out == set(lexicon.pool(kind, template, "any"))


def test_the_side_is_the_same_for_ever() -> None:
    assert [word for word in ("zorp", "fram", "lemu", "tibok", "kadun", "sipol") if is_held_out(2, word)] == [
        "zorp",
        "sipol",
    ]


@pytest.mark.parametrize("sizes", [{"num_words": 100}, {"num_words": 10**6}, {"num_names": 3}])
def test_impossible_worlds(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="give"):
        Lexicon(0, **sizes)
