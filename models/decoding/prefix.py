"""Prefix caching: what prompts that begin alike have in common is computed once (Zheng et al. 2024, RadixAttention).

A tree whose edges are runs of tokens holds their keys and values within a budget of bytes. H is key-value heads, T
tokens, D head width, V the vocabulary.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from models.decoding.static import Emit, StaticDecoder, unheard

# Keys and values of a run of tokens, a pair a layer (1, H, T, D).
States = list[tuple[torch.Tensor, torch.Tensor]]


@dataclass(eq=False)
class Node:
    """A run of tokens, their states, and what follows it by first token."""

    tokens: tuple[int, ...]
    states: States
    parent: "Node | None"
    used: int
    children: dict[int, "Node"] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Bytes that its states keep alive."""
        return sum(tensor.untyped_storage().nbytes() for pair in self.states for tensor in pair)


def cut(states: States, start: int, stop: int) -> States:
    """The states of tokens `start` to `stop`, as tensors that keep nothing else alive."""
    return [(keys[:, :, start:stop].clone(), values[:, :, start:stop].clone()) for keys, values in states]


class PrefixTree:
    """At most `max_bytes` of keys and values; the leaf whose use is longest ago is dropped first.

    A match and an insertion count as a use of every node on their path.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 1:
            raise ValueError(f"max_bytes {max_bytes}: a prefix cache needs room, give at least 1")
        self.max_bytes = max_bytes
        self._clock = itertools.count(1)
        self.clear()

    def clear(self) -> None:
        """Drops everything."""
        self.root = Node((), [], None, 0)
        self.bytes = 0

    def nodes(self) -> Iterator[Node]:
        """Every node but the root, parents first."""
        waiting = list(self.root.children.values())
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.children.values()

    def match(self, tokens: Sequence[int]) -> tuple[int, States]:
        """How many of the first tokens are known, and their states."""
        found, length = [], 0
        for node, shared in self._path(tokens):
            found.append(cut(node.states, 0, shared) if shared < len(node.tokens) else node.states)
            length += shared
        if len(found) == 1:
            return length, found[0]
        layers = [list(zip(*layer, strict=True)) for layer in zip(*found, strict=True)]
        return length, [(torch.cat(keys, dim=2), torch.cat(values, dim=2)) for keys, values in layers]

    def insert(self, tokens: Sequence[int], states: States) -> None:
        """Adds what is not known of the tokens and their states: of a run that does not fit, the beginning."""
        parent, length = self.root, 0
        for node, shared in self._path(tokens):
            parent, length = self._split(node, shared) if shared < len(node.tokens) else node, length + shared
        keep = self._make_room(parent, len(tokens) - length, states)
        if keep:
            leaf = Node(tuple(tokens[length : length + keep]), cut(states, length, length + keep), parent, parent.used)
            parent.children[leaf.tokens[0]] = leaf
            self.bytes += leaf.bytes

    def _path(self, tokens: Sequence[int]) -> list[tuple[Node, int]]:
        """The nodes along the tokens, marked as used, and how many of the tokens of each they share."""
        now, path, node, length = next(self._clock), [], self.root, 0
        while length < len(tokens) and tokens[length] in node.children:
            node = node.children[tokens[length]]
            pairs = zip(node.tokens, tokens[length:], strict=False)
            shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
            node.used = now
            path.append((node, shared))
            length += shared
            if shared < len(node.tokens):
                break
        self.root.used = now
        return path

    def _split(self, node: Node, place: int) -> Node:
        """Puts a node with the first `place` tokens above one with the others; returns the upper."""
        assert node.parent is not None
        upper = Node(node.tokens[:place], cut(node.states, 0, place), node.parent, node.used)
        node.parent.children[node.tokens[0]] = upper
        self.bytes -= node.bytes
        node.tokens, node.states = node.tokens[place:], cut(node.states, place, len(node.tokens))
        self.bytes += node.bytes + upper.bytes
        node.parent = upper
        upper.children[node.tokens[0]] = node
        return upper

    def _make_room(self, parent: Node, num_tokens: int, states: States) -> int:
        """Drops leaves, the longest unused first, until the tokens fit below `parent`; how many of them do."""
        token_bytes = sum(t[:, :, :1].numel() * t.element_size() for pair in states for t in pair)
        while self.bytes + num_tokens * token_bytes > self.max_bytes:
            leaves = [node for node in self.nodes() if not node.children and node is not parent]
            if not leaves:
                break
            self._drop(min(leaves, key=lambda node: node.used))
        return min(num_tokens, (self.max_bytes - self.bytes) // token_bytes)

    def _drop(self, leaf: Node) -> None:
        assert leaf.parent is not None
        del leaf.parent.children[leaf.tokens[0]]
        self.bytes -= leaf.bytes


class PrefixDecoder:
    """Greedy decoding, prompt after prompt, that computes no prefix twice while the tree keeps it.

    Raises ValueError for a model that does not keep the keys and values of all tokens.
    """

    def __init__(self, decoder: StaticDecoder, tree: PrefixTree) -> None:
        model = decoder.model
        if any(type(layer) is not DynamicLayer for layer in DynamicCache(config=model.config).layers):
            raise ValueError(f"prefix cache: {type(model).__name__} does not keep the states of all tokens")
        self.decoder, self.tree = decoder, tree
        self.tokens_seen = self.tokens_found = 0

    def forget(self) -> None:
        """Begins anew with an empty tree."""
        self.tree.clear()
        self.tokens_seen = self.tokens_found = 0

    @torch.inference_mode()
    def greedy(self, prompt_1T: torch.Tensor, num_tokens: int, emit: Emit = unheard) -> torch.Tensor:
        """The most probable continuation (1, num_tokens); the prompt joins the tree."""
        prompt = prompt_1T[0].tolist()
        found, states = self.tree.match(prompt[:-1])  # the last token's logits are to be computed
        self.tokens_seen += len(prompt)
        self.tokens_found += found
        logits_11V = self.decoder.resume(states, prompt_1T) if found else self.decoder.prefill(prompt_1T)
        self.tree.insert(prompt, self.decoder.states())
        return self.decoder.follow(logits_11V, num_tokens, emit)
