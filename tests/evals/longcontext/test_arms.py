"""Arms that read with one prompt: what each reads of a small context, and what it counts."""

import asyncio
from dataclasses import replace
from typing import get_args

import pytest

from analysis import longcontext
from evals.longcontext.arms.agentic import Agentic, expanded
from evals.longcontext.arms.arm import Answered, Asked
from evals.longcontext.arms.arms import ARMS, arm
from evals.longcontext.arms.chunks import MapReduce, Summary, combined
from evals.longcontext.arms.offload import Offload
from evals.longcontext.arms.retrieval import BM25, Dense
from evals.longcontext.arms.whole import Direct, Truncation
from evals.longcontext.cut import most
from evals.longcontext.params import DIRECT_TOKENS, ArmName, Measured
from rlm.lm import Messages, ModelError, Reply, Scripted
from rlm.policy import LEAF_TOKENS as POLICY_LEAF_TOKENS
from rlm.policy import Trained, leaf_prompt, num_pieces
from tests.evals.longcontext.readers import Knowing, prompt_tokens, reader, texts

LINES = [f"ana {number} : fram" for number in range(100)]
CONTEXT = "\n".join(LINES) + "\n"
ASKED = Asked("where is zorp ?", CONTEXT, "exact")
LEAF_TOKENS = 8


def told(lines: list[int]) -> str:
    return "".join(f"{LINES[line]}\n" for line in lines)


def with_zorp(*places: int) -> Asked:
    """The context with a rare word in some lines."""
    lines = [line.replace("fram", "zorp") if place in places else line for place, line in enumerate(LINES)]
    return replace(ASKED, context="\n".join(lines) + "\n")


def size(lm: Scripted, text: str) -> int:
    return lm.num_tokens(Trained().leaf(ASKED.question, text)) + LEAF_TOKENS


def test_direct_reads_all_beyond_the_window(run) -> None:
    lm = reader(lambda question, text: "two words", window=20)
    found = run(Direct(lm, Trained(), LEAF_TOKENS, 1000).answer(ASKED))
    assert texts(lm) == [CONTEXT]
    assert found == Answered("two words", 1, prompt_tokens(lm) + 2, "done")
    most_tokens = size(lm, CONTEXT)
    run(Direct(lm, Trained(), LEAF_TOKENS, most_tokens).answer(ASKED))
    found = run(Direct(lm, Trained(), LEAF_TOKENS, most_tokens - 1).answer(ASKED))
    assert (found.answer, found.calls, found.status) == (None, 0, "failed")
    assert found.reason.startswith(
        f"{most_tokens} tokens, with the answer's, do not fit a window of {most_tokens - 1}:"
    )


def test_direct_is_planned_where_it_can_read(drawn) -> None:
    asked = {windows: Asked.of(drawn("count", windows, count=1)[0]) for windows in (127, 128)}
    words = {windows: num_pieces(leaf_prompt(one.question, one.context)) for windows, one in asked.items()}
    assert words[127] + POLICY_LEAF_TOKENS <= DIRECT_TOKENS < words[128] + POLICY_LEAF_TOKENS
    Measured(("count",), ("direct",), (1, 127), 1)
    Measured(("count",), ("truncation",), (128,), 1)
    with pytest.raises(ValueError, match="windows 128: direct reads 127 at most: leave that length out, or the arm"):
        Measured(("count",), ("direct",), (1, 128), 1)


@pytest.mark.parametrize("window", [60, 61, 62, 63, 64, 200])
def test_truncation_reads_two_ends_of_whole_lines(run, window: int) -> None:
    lm = reader(lambda question, text: "x", window)
    found = run(Truncation(lm, Trained(), LEAF_TOKENS).answer(ASKED))
    assert found == Answered("x", 1, prompt_tokens(lm) + 1, "done")
    (text,) = texts(lm)
    num_lines = text.count("\n")
    first = next(count for count in range(num_lines, 0, -1) if text.startswith(told(list(range(count)))))
    assert text == told([*range(first), *range(100 - num_lines + first, 100)])
    assert num_lines - first in (first, first + 1)
    assert size(lm, text) <= window < size(lm, text + told([first]))


def test_truncation_reads_all_of_what_fits(run) -> None:
    lm = reader(lambda question, text: "x")
    run(Truncation(lm, Trained(), LEAF_TOKENS).answer(ASKED))
    assert texts(lm) == [CONTEXT]


@pytest.mark.parametrize("kind", [BM25, Offload])
def test_a_search_brings_the_lines_with_the_words_first(run, kind: type) -> None:
    lm = reader(lambda question, text: "x", window=50)
    asked = with_zorp(80, 17, 40)
    found = run(kind(lm, Trained(), LEAF_TOKENS).answer(asked))
    assert found == Answered("x", 1, prompt_tokens(lm) + 1, "done")
    (text,) = texts(lm)
    assert [line for line in text.splitlines() if "zorp" in line] == ["ana 17 : zorp", "ana 40 : zorp", "ana 80 : zorp"]
    places = [asked.context.splitlines().index(line) for line in text.splitlines()]
    assert places == sorted(places)
    assert size(lm, text) <= 50
    assert text.count("\n") == (9 if kind is BM25 else 3)  # BM25 fills the window, with the first lines of the others


@pytest.mark.parametrize("kind", [BM25, Offload])
def test_a_search_for_what_is_not_there_brings_the_head(run, kind: type) -> None:
    lm = reader(lambda question, text: "x", window=50)
    run(kind(lm, Trained(), LEAF_TOKENS).answer(ASKED))
    assert texts(lm) == [told(list(range(9)))]


def test_offload_searches_the_rarest_word_first(run) -> None:
    lm = reader(lambda question, text: "x", window=36)
    lines = ["is it ?"] * 50 + ["zorp"] + ["where it was"] * 3 + ["is it ?"] * 50
    run(Offload(lm, Trained(), LEAF_TOKENS).answer(replace(ASKED, context="\n".join(lines))))
    assert texts(lm) == ["is it ?\n" * 4 + "zorp\n" + "where it was\n" * 3]


def knowing(answer, window: int) -> Knowing:
    """For which `gale` and `zorp` mean the same, and all else the same as nothing."""
    return Knowing(reader(answer).answers, window=window, meanings={"zorp": 0, "gale": 0, ":": 1, "fram": 1})


def test_dense_finds_what_means_the_same(run) -> None:
    lm = knowing(lambda question, text: "x", 50)
    asked = replace(ASKED, question="zorp ?", context=CONTEXT.replace("77 : fram", "77 : gale"))
    found = run(Dense(lm, Trained(), LEAF_TOKENS).answer(asked))
    assert found == Answered("x", 1, prompt_tokens(lm) + 1, "done")
    (text,) = texts(lm)
    assert text == told(list(range(8))) + "ana 77 : gale\n"
    run(BM25(lm, Trained(), LEAF_TOKENS).answer(asked))
    assert "gale" not in texts(lm)[1]


def agentic(lm: Knowing, **dials: int) -> Agentic:
    return Agentic(lm, Trained(), LEAF_TOKENS, **dials)


def test_agentic_ends_once_both_sources_give_the_same(run) -> None:
    lm = knowing(lambda question, text: "seventeen" if "17 : zorp" in text else "none", 50)
    found = run(agentic(lm).answer(with_zorp(17)))
    assert found == Answered("seventeen", 2, prompt_tokens(lm) + 2, "done")
    assert all("17 : zorp" in text for text in texts(lm))


def test_agentic_reads_on_where_nothing_is_found(run) -> None:
    lm = knowing(lambda question, text: "none", 50)
    found = run(agentic(lm).answer(ASKED))
    assert found == Answered("none", 4, prompt_tokens(lm) + 4, "done")
    read = [line for text in texts(lm) for line in text.splitlines()]
    assert len(read) == len(set(read)) == 36
    lm = knowing(lambda question, text: "none", 400)
    assert run(agentic(lm, max_steps=9).answer(ASKED)).calls == 2  # and then all is read


def test_agentic_takes_the_most_frequent_of_what_is_not_confirmed(run) -> None:
    said = iter(["a", "none", "b", "none", "b"])
    lm = knowing(lambda question, text: next(said), 50)
    found = run(agentic(lm, max_steps=5).answer(ASKED))
    assert (found.answer, found.calls) == ("b", 5)
    with pytest.raises(ValueError, match="max_steps 0: give 1 or more"):
        agentic(lm, max_steps=0)


def test_feedback_adds_the_telling_words_of_what_was_read() -> None:
    lines = [["ana", "fram", "zorp"], ["ana", "fram", "gale"], ["ana", "fram"], ["ana", "fram"], ["ana"]]
    assert expanded("who ?", lines, [1]) == "who ? gale"
    assert expanded("who is there ?", lines, [0, 1]) == "who is there ? gale zorp fram"


def test_summary_reads_below_its_note(run) -> None:
    lm = reader(lambda question, text: f"to {text.split()[-3]}")
    found = run(Summary(lm, Trained(), LEAF_TOKENS, 400).answer(ASKED))
    asked = texts(lm)
    assert found == Answered("to 99", len(asked), prompt_tokens(lm) + 2 * len(asked), "done")
    assert asked[0] == CONTEXT[: len(asked[0])]
    notes = [text.partition("\n")[0] for text in asked[1:]]
    assert notes == [f"so far : to {text.split()[-3]}" for text in asked[:-1]]
    assert asked[0] + "".join(text.partition("\n")[2] for text in asked[1:]) == CONTEXT


def test_a_note_without_room_is_cut(run) -> None:
    lm = reader(lambda question, text: "1 2 3 4 5 6 7 8", window=60)
    found = run(Summary(lm, Trained(), LEAF_TOKENS, 150).answer(ASKED))
    assert found.status == "done"
    assert texts(lm)[1].startswith("so far : 1 2 3 4\nana")
    assert max(size(lm, text) for text in texts(lm)) == 60


class Together(Scripted):
    """Answers none of `num_calls` before all are asked."""

    def __init__(self, num_calls: int, answers) -> None:
        super().__init__(answers)
        self.barrier = asyncio.Barrier(num_calls)

    async def complete(self, messages: Messages, max_tokens: int) -> Reply:
        async with asyncio.timeout(60):
            await self.barrier.wait()
        return await super().complete(messages, max_tokens)


def test_what_is_asked_again_is_counted_again(run) -> None:
    def busy_at_first(question: str, text: str) -> str:
        if len(lm.heard) == 1:
            raise ModelError("busy", free=True, num_retries=1, after=0.0)
        return "two words"

    lm = reader(busy_at_first)
    found = run(Truncation(lm, Trained(), LEAF_TOKENS).answer(ASKED))
    assert found == Answered("two words", 2, prompt_tokens(lm) // 2 + 2, "done")


def test_map_reduce_asks_of_all_chunks_side_by_side(run) -> None:
    lm = Together(5, reader(lambda question, text: str(text.count("\n"))).answers)
    found = run(MapReduce(lm, Trained(), LEAF_TOKENS, 320).answer(replace(ASKED, answer="number")))
    assert found == Answered("100", 5, prompt_tokens(lm) + 5, "done")
    assert "".join(sorted(texts(lm), key=lambda text: int(text.split()[1]))) == CONTEXT


def test_chunks_that_do_not_fit_are_halved(run) -> None:
    lm = reader(lambda question, text: str(text.count("\n")), window=50)
    found = run(MapReduce(lm, Trained(), LEAF_TOKENS, 320).answer(replace(ASKED, answer="number")))
    assert found == Answered("100", len(texts(lm)), prompt_tokens(lm) + len(texts(lm)), "done")
    assert "".join(texts(lm)) == CONTEXT
    assert max(size(lm, text) for text in texts(lm)) <= 50


@pytest.mark.parametrize(
    ("kind", "answers", "expected"),
    [
        ("number", ["1 2", "none", "3", "about 4", "5 , 6"], "19"),
        ("number", ["none"], "0"),
        ("number", ["9 9 9 9 9 9", "1"], "1000000"),
        ("exact", ["b", "none", "a", "none", "a", "b", "none"], "b"),
        ("exact", ["none", ""], "none"),
        ("pairs", ["1 - 2 , 3 - 4", "none", "3 - 4,5 - 6"], "1 - 2 , 3 - 4 , 5 - 6"),
        ("set", ["ana , eli", "Not found.", "eli"], "ana , eli"),
        ("set", ["none"], "none"),
    ],
)
def test_answers_are_combined_by_their_kind(kind, answers: list[str], expected: str) -> None:
    assert combined(kind, answers) == expected


def test_what_fails_is_told_with_what_it_cost(run) -> None:
    lm = Scripted(["x"])
    found = run(Summary(lm, Trained(), LEAF_TOKENS, 400).answer(ASKED))
    assert (found.answer, found.calls, found.status) == (None, 2, "failed")
    assert found.tokens == lm.num_tokens(lm.heard[0]) + 1
    assert found.reason == "scripted: asked 2 times, 1 answers are there"
    lm = reader(lambda question, text: "x", window=10)
    found = run(MapReduce(lm, Trained(), LEAF_TOKENS, 400).answer(ASKED))
    assert (found.calls, found.status) == (0, "failed")
    assert "do not fit a window of 10" in found.reason
    lm = reader(lambda question, text: "x", window=20)
    long = replace(ASKED, context="fram " * 50)
    for kind in (Truncation, BM25, Offload):
        found = run(kind(lm, Trained(), LEAF_TOKENS).answer(long))
        assert (found.calls, found.status) == (0, "failed")
        assert "a window of 20 tokens" in found.reason


def test_most() -> None:
    for count in range(20):
        for right in range(25):
            assert most(count, lambda number: 0 < number <= right) == min(count, right)  # noqa: B023


def test_arms_by_name() -> None:
    lm = knowing(lambda question, text: "x", 50)
    assert tuple(ARMS) == get_args(ArmName) == longcontext.ARMS
    for name in ARMS:
        found = arm(name, lm, Trained(), LEAF_TOKENS)
        assert (found.name, found.profile) == (name, "sealed" if name.startswith("rlm") else None)
    with pytest.raises(ValueError, match=r"arm rag: there is none such: give one of direct, .*, rlm-2"):
        arm("rag", lm, Trained(), LEAF_TOKENS)
    with pytest.raises(ValueError, match="arm dense: scripted gives no vectors: use a model from a folder"):
        arm("dense", Scripted([]), Trained(), LEAF_TOKENS)


def test_what_is_blank_is_refused() -> None:
    with pytest.raises(ValueError, match=r"context '\\n' is blank: give text"):
        Asked("q", "\n", "exact")
    with pytest.raises(ValueError, match="question '' is blank: give text"):
        Asked("", "text", "exact")
