"""The prefix tree: what it finds, what it keeps, what it drops first."""

import random

import pytest
import torch

from evals.inference.checks import token_exact
from models.decoding.prefix import PrefixDecoder, PrefixTree, States
from models.decoding.static import StaticDecoder

pytestmark = pytest.mark.usefixtures("one_thread")
TOKEN_BYTES = 2 * 2 * 1 * 2 * 4  # keys and values, two layers, one head, two numbers, float32


def states(tokens: list[int]) -> States:
    """States that say whose they are: the first number is the token, the second a digest of all up to it."""
    digests = [hash(tuple(tokens[: place + 1])) % 1000 for place in range(len(tokens))]
    layer = torch.tensor(list(zip(tokens, digests, strict=True)), dtype=torch.float32)[None, None]
    return [(layer + 10 * index, -layer - 10 * index) for index in range(2)]


def held(tree: PrefixTree) -> int:
    """Bytes of all storages that the tree keeps alive, counted once each."""
    storages = [t.untyped_storage() for node in tree.nodes() for pair in node.states for t in pair]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def test_ten_thousand_insertions_keep_the_budget_and_find_the_right_states() -> None:
    generator = random.Random(0)
    budget = 60 * TOKEN_BYTES + 7
    tree = PrefixTree(budget)
    hits = 0
    for _ in range(10_000):
        tokens = [generator.randrange(3) for _ in range(generator.randrange(1, 25))]
        length, found = tree.match(tokens)
        hits += length > 0
        if length:
            for (keys, values), (own_keys, own_values) in zip(found, states(tokens), strict=True):
                assert torch.equal(keys, own_keys[:, :, :length])
                assert torch.equal(values, own_values[:, :, :length])
        tree.insert(tokens, states(tokens))
        assert tree.bytes <= budget
        assert tree.bytes == held(tree)
    assert hits > 5_000
    assert tree.bytes > budget / 2


def test_known_prefixes_are_found_whole_and_in_part() -> None:
    tree = PrefixTree(1 << 20)
    tree.insert([1, 2, 3, 4], states([1, 2, 3, 4]))
    tree.insert([1, 2, 5], states([1, 2, 5]))
    assert [tree.match(tokens)[0] for tokens in ([1, 2, 3, 4, 9], [1, 2, 5], [1, 2, 6], [1], [2, 1], [])] == [
        4, 3, 2, 1, 0, 0,
    ]  # fmt: skip
    assert tree.bytes == 5 * TOKEN_BYTES  # the shared beginning once


def test_the_leaf_unused_longest_goes_first() -> None:
    tree = PrefixTree(6 * TOKEN_BYTES)
    for tokens in ([1, 1], [2, 2], [3, 3]):
        tree.insert(tokens, states(tokens))
    tree.match([1, 1])
    tree.insert([4, 4], states([4, 4]))
    assert [tree.match([token, token])[0] for token in (1, 2, 3, 4)] == [2, 0, 2, 2]


def test_of_what_does_not_fit_the_beginning_is_kept() -> None:
    tree = PrefixTree(3 * TOKEN_BYTES)
    tree.insert([1, 2, 3, 4, 5], states([1, 2, 3, 4, 5]))
    assert tree.match([1, 2, 3, 4, 5])[0] == 3
    PrefixTree(1).insert([1, 2], states([1, 2]))
    with pytest.raises(ValueError, match="max_bytes 0: a prefix cache needs room"):
        PrefixTree(0)


def test_decoding_is_that_of_whole_sequences_and_computes_a_prefix_once(target, prompts_BT, whole) -> None:
    prompts_BT = prompts_BT.clone()
    prompts_BT[:, :15] = prompts_BT[0, :15]
    decoder = PrefixDecoder(StaticDecoder(target, 64, compile=False), PrefixTree(1 << 24))
    found = [decoder.greedy(row_T[None], 20)[0].tolist() for row_T in prompts_BT]
    assert found == whole(target, prompts_BT, 20)
    assert (decoder.tokens_seen, decoder.tokens_found) == (60, 30)


def test_a_cache_that_returns_a_neighbours_entry_is_caught(target, prompts_BT, whole, monkeypatch) -> None:
    decoder = PrefixDecoder(StaticDecoder(target, 64, compile=False), PrefixTree(1 << 24))
    neighbour_1T = prompts_BT[:1].clone()
    neighbour_1T[0, 3] += 1
    decoder.greedy(neighbour_1T, 1)
    right = decoder.tree.match
    monkeypatch.setattr(decoder.tree, "match", lambda tokens: right(neighbour_1T[0, : len(tokens)].tolist()))
    found = decoder.greedy(prompts_BT[:1], 20).tolist()
    assert not token_exact(whole(target, prompts_BT[:1], 20), found).passed
