"""Gates of honesty: a solver is right behind the oracles, and at the floor where its leaves read elsewhere."""

from collections.abc import Callable
from statistics import mean
from typing import Any

import pytest

from evals.longcontext.arms.arm import Answered, Asked
from evals.longcontext.arms.chunks import chunks
from evals.longcontext.arms.recursive import Recursive
from evals.longcontext.gates import Constant, Gate, OracleLeaf, OracleProgram, Shuffled
from evals.longcontext.item import Item
from evals.longcontext.leaves import leaf_answer
from evals.longcontext.lexicon import Lexicon
from evals.longcontext.programs import CHUNK_BYTES
from evals.longcontext.scorers import score
from evals.longcontext.tasks import TASKS
from rlm.lm import LanguageModel, Message, ModelError, Scripted
from rlm.policy import Trained, leaf_prompt, parse_leaf, root_prompt
from tests.evals.longcontext.corrupted import Corrupted

Drawn = Callable[..., list[Item]]
SILENT = Scripted([])


def solved(run: Callable[..., Any], item: Item, lm: LanguageModel) -> Answered:
    """By the program to prefer, and the leaves of `lm`."""
    return run(Recursive(OracleProgram(lm, item), Trained(), 256, depth=1, max_turns=1).answer(Asked.of(item)))


def asks(question: str, text: str) -> tuple[Message, ...]:
    return (Message("user", leaf_prompt(question, text)),)


@pytest.mark.parametrize("task", TASKS)
def test_a_leaf_prompt_can_be_read_back(task: str, drawn: Drawn) -> None:
    for item in drawn(task, 4):
        for text in [*chunks(item.context, CHUNK_BYTES), item.context]:  # with more lines than marks, too
            assert parse_leaf(leaf_prompt(item.question, text)) == (item.question, text)
    assert parse_leaf(leaf_prompt("opposite of storm ?", "")) == ("opposite of storm ?", "")
    assert parse_leaf(leaf_prompt("rows ?", "a\n\n  b\n")) == ("rows ?", "a\n\n  b\n")
    assert parse_leaf(root_prompt(item.question, 90, 1)) is None
    assert parse_leaf(f"{leaf_prompt('q', 'text')} said") is None


@pytest.mark.parametrize("task", TASKS)
def test_oracles_are_right_without_a_model(run, task: str, drawn: Drawn, lexicon: Lexicon) -> None:
    (item, *_) = drawn(task, 2)
    found = solved(run, item, OracleLeaf(SILENT, lexicon))
    assert (score(item, found.answer), found.status) == (1, "done")


@pytest.mark.parametrize("task", ["count", "argmax", "semniah"])
@pytest.mark.parametrize("gate", [Shuffled, Constant])
def test_leaves_that_read_elsewhere_bring_it_to_the_floor(
    run, task: str, gate: type[Gate], drawn: Drawn, lexicon: Lexicon
) -> None:
    items, others = drawn(task, 4, count=32), drawn(task, 4, count=16, seed=1)
    texts = [text for other in others for text in chunks(other.context, CHUNK_BYTES)]
    leaves = OracleLeaf(SILENT, lexicon)
    lm = Shuffled(leaves, texts) if gate is Shuffled else Constant(leaves, texts[0])
    scores = [score(item, solved(run, item, lm).answer) for item in items]
    most = mean(item.chance for item in items)
    assert mean(scores) <= most + 3 * (most * (1 - most) / len(items)) ** 0.5


def test_shuffling_is_the_same_in_any_order_and_counts_the_prompt_that_was_asked(run, lexicon: Lexicon) -> None:
    texts = [f"ana {number} : {word}\n" * 4 for number, word in enumerate(list(lexicon.class_of)[:9])]
    asked = [asks("kinds ?", text) for text in texts]
    first, second = Shuffled(OracleLeaf(SILENT, lexicon), texts), Shuffled(OracleLeaf(SILENT, lexicon), texts)
    given = [run(first.complete(one, 50)) for one in asked]
    assert given[::-1] == [run(second.complete(one, 50)) for one in asked[::-1]]
    assert [reply.prompt_tokens for reply in given] == [SILENT.num_tokens(one) for one in asked]
    own = [leaf_answer(lexicon, "kinds ?", text) for text in texts]
    assert {reply.text for reply in given} < set(own)
    (few,) = leaf_answer(lexicon, "kinds ?", "".join(texts[0].splitlines(keepends=True)[:1])).split()
    assert run(Shuffled(first.lm, texts[:1]).complete(asks("kinds ?", "eli 1 : a\n"), 50)).text == few  # a line of four
    assert [reply.text for reply in given] != own
    assert given != [run(Shuffled(first.lm, texts, seed=1).complete(one, 50)) for one in asked]
    with pytest.raises(ValueError, match="texts: there are none: give chunks of other contexts"):
        Shuffled(SILENT, [])


def test_one_changed_leaf_is_one_more(run, drawn: Drawn, lexicon: Lexicon) -> None:
    for place, item in enumerate(drawn("count", 4, count=4)):
        lm = Corrupted(OracleLeaf(SILENT, lexicon), place, item.meta["kind"])
        assert solved(run, item, lm).answer == int(item.gold.replace(" ", "")) + 1


def test_a_leaf_that_cannot_be_changed(run) -> None:
    lm = Corrupted(Scripted(["storm storm", "storm"]), 1, "storm")
    assert run(lm.complete(asks("kinds ?", "ana"), 9)).text == "storm storm"
    with pytest.raises(ValueError, match="'storm' has no word to change into storm: choose another"):
        run(lm.complete(asks("kinds ?", "ana"), 9))


def test_what_an_oracle_does_not_answer(run, drawn: Drawn, lexicon: Lexicon) -> None:
    (item, *_) = drawn("count", 1)
    leaves = OracleLeaf(SILENT, lexicon)
    with pytest.raises(ModelError, match=r"OracleLeaf\(scripted\): 'who \?' is no question to a leaf"):
        run(leaves.complete(asks("who ?", "ana"), 9))
    with pytest.raises(ModelError, match=r"an answer of \d+ tokens, 1 are allowed"):
        run(leaves.complete(asks("kinds ?", drawn("count", 1)[0].context), 1))
    with pytest.raises(ModelError, match="asked 1 times, 0 answers"):
        run(OracleProgram(SILENT, item).complete(asks("kinds ?", "ana"), 9))


def test_a_gate_passes_on_what_it_does_not_change(run, lexicon: Lexicon) -> None:
    lm = Scripted(["answer(1)", "more"], window=123)
    gate = OracleLeaf(lm, lexicon)
    asked = (Message("user", root_prompt("q", 5, 1)),)
    reply = run(gate.complete(asked, 9))
    assert (reply.text, reply.tokens, lm.heard) == ("answer(1)", lm.num_tokens(asked) + 1, [asked])
    assert (gate.window, gate.price, gate.num_tokens(asked)) == (123, lm.price, gate.most_tokens(asked))
