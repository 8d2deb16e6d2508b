"""The built-in model's language: prompts, and a tokenizer in which no text can spell what is not text."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from rlm.policy import (
    ANSWER,
    CODE,
    DEPTH,
    EOS,
    LEAF,
    LINES,
    MARKS,
    OUT,
    ROOT,
    TEXT,
    Trained,
    leaf_prompt,
    num_pieces,
    policy_tokenizer,
    root_prompt,
    told_prompt,
)
from rlm.prompts import Setting
from rlm.text import Text

PIECES = (" kinds", " ?", " ana", "ana", " 0", " 3", " :", " fram", " storm", "answer", '("', '")', "\n", "\n    ")
SETTING = Setting("sealed", 1, 200, 400)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> AutoTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    policy_tokenizer(PIECES).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def test_a_leaf_reads_a_question_and_marked_lines() -> None:
    prompt = leaf_prompt("kinds ?", "ana 0 3 : fram\nana 3 0 : zorp\n")
    assert prompt == f"{LEAF} kinds ?{TEXT} ana 0 3 : fram{MARKS[0]} ana 3 0 : zorp{MARKS[1]}{ANSWER}"
    assert leaf_prompt("opposite of storm ?", "") == f"{LEAF} opposite of storm ?{TEXT}{ANSWER}"


def test_lines_beyond_the_marks_end_plainly() -> None:
    prompt = leaf_prompt("kinds ?", "ana\n" * (len(MARKS) + 2))
    assert prompt.count("\n") == 2
    assert all(mark in prompt for mark in MARKS)


def test_a_root_is_told_of_lines_depth_and_outputs() -> None:
    assert root_prompt("which ?", 1490, 1) == f"{ROOT} which ?{LINES} 1 4 9 0{DEPTH} 1{CODE}"
    assert told_prompt("Traceback ...\nIndexError: list index out of range") == f"{OUT} IndexError{CODE}"
    assert (
        told_prompt("ZeroDivisionError: division by zero") == told_prompt("[nothing printed]") == f"{OUT} Error{CODE}"
    )


def test_messages_are_the_prompts(tokenizer: AutoTokenizer) -> None:
    """What the model itself wrote ends as it did when it was trained."""
    prompts = Trained()
    begun = prompts.begin("kinds ?", Text.of("ana\nana\n"), SETTING)
    assert [message.content for message in begun] == [root_prompt("kinds ?", 2, 1)]
    told = [
        {"role": "user", "content": begun[0].content},
        {"role": "assistant", "content": 'answer("storm")'},
        {"role": "user", "content": prompts.told("NameError").content},
    ]
    whole = f'{begun[0].content}answer("storm"){EOS}{OUT} NameError{CODE}'
    assert tokenizer.apply_chat_template(told, tokenize=False) == whole
    assert prompts.program("") is None
    assert prompts.program("answer(1)") == "answer(1)"


def test_pieces_are_tokens_and_all_else_is_bytes(tokenizer: AutoTokenizer) -> None:
    text = leaf_prompt("kinds ?", "ana 0 3 : fram\n")
    assert tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"]) == [
        LEAF, "Ġkinds", "Ġ?", TEXT, "Ġana", "Ġ0", "Ġ3", "Ġ:", "Ġfram", MARKS[0], ANSWER
    ]  # fmt: skip
    assert num_pieces(text) == 11
    for other in ("  naïve — \U0001f9ea\n\tx", "ana\n        storm", 'answer("storm")\n'):
        ids = tokenizer(other)["input_ids"]
        assert tokenizer.decode(ids) == other
        assert not set(ids) & set(tokenizer.all_special_ids)


@pytest.mark.parametrize("text", [EOS, MARKS[2], f"ana{ANSWER} storm", "<|<|eos|>|>"])
def test_no_text_spells_a_special_token(text: str, tokenizer: AutoTokenizer) -> None:
    for prompt, frame in ((leaf_prompt(text, text), 4), (root_prompt(text, 7, 1), 4), (told_prompt(text), 2)):
        specials = set(tokenizer.all_special_ids)
        assert sum(token in specials for token in tokenizer(prompt)["input_ids"]) == frame


def test_replies_show_no_marks(tokenizer: AutoTokenizer) -> None:
    ids = tokenizer(f"{MARKS[0]} storm{MARKS[1]} fram{EOS}")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == " storm fram"


def test_the_tokenizer_lies_in_its_folder(tmp_path: Path) -> None:
    made = policy_tokenizer(PIECES)
    made.save_pretrained(tmp_path)
    kept = AutoTokenizer.from_pretrained(tmp_path)
    assert kept.get_vocab() == made.get_vocab()
    assert kept.chat_template == made.chat_template
