"""The built-in model's language: how a small decoder that was trained for it is asked, as a root and as a leaf.

    <|root|> which kind is most common ?<|lines|> 1 4 9 0<|depth|> 1<|code|>PROGRAM<|eos|><|out|>OUTPUT<|code|>...
    <|leaf|> kinds ?<|text|> ana 0 3 1 4 : not zorp but fram<|1|> eli 2 2 0 1 : hardly A , mostly B<|2|><|answer|> ...

A line of a leaf's text ends with a mark of its own. An answer goes through the lines: the mark of each, then what it
tells, if anything; a mark is a special token, which no reply shows.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rlm.lm import Message, Messages
from rlm.prompts import Setting
from rlm.text import Text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# A word, a digit, signs; each with the space before it. A line's end goes with the indent that follows.
PIECE = re.compile(r" ?[A-Za-z_]+| ?\d| ?[^\w\s]+|\n(?: {4})*| ")
SPECIAL = re.compile(r"<\|\w+\|>")
MOST_LINES = 40  # with a mark; the ends of those that follow are plain
ROOT_TOKENS, LEAF_TOKENS = 98, 40  # of a reply at most, its end included
TURNS = 4  # programs of a root: what it has not found by then it does not find
ERRORS = ("IndexError", "KeyError", "NameError", "SyntaxError", "TypeError", "ValueError")  # that a root is told of
NO_ERROR = "Error"  # another, or none
ERROR = re.compile(r"\w+Error")
ROOT, LEAF, LINES, DEPTH, CODE, OUT, TEXT, ANSWER = (
    f"<|{role}|>" for role in ("root", "leaf", "lines", "depth", "code", "out", "text", "answer")
)
MARKS = tuple(f"<|{number}|>" for number in range(1, MOST_LINES + 1))
LEAF_PROMPT = re.compile(
    rf"{re.escape(LEAF)} (?P<question>.*?){re.escape(TEXT)}(?P<marked>.*){re.escape(ANSWER)}", re.DOTALL
)
LINE_END = re.compile(r"<\|\d+\|>|\n")
EOS = "<|eos|>"
SPECIALS = {"bos_token": "<|bos|>", "eos_token": "<|eos|>", "pad_token": "<|pad|>", "mask_token": "<|mask|>"}
# Messages one after another, and after what the model itself said the token that ended it.
TEMPLATE = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}<|eos|>{% endif %}{% endfor %}"


def root_prompt(question: str, num_lines: int, depth: int) -> str:
    """Up to where the program begins."""
    return f"{ROOT} {_plain(question)}{LINES} {' '.join(str(num_lines))}{DEPTH} {depth}{CODE}"


def told_prompt(output: str) -> str:
    """What error a program raised, up to where the next begins: the window has no room for more."""
    found = ERROR.search(output)
    return f"{OUT} {found[0] if found and found[0] in ERRORS else NO_ERROR}{CODE}"


def leaf_prompt(question: str, text: str) -> str:
    """Up to where the answer begins."""
    lines = _plain(text).splitlines()
    ends = [*MARKS[: len(lines)], *["\n"] * (len(lines) - MOST_LINES)]
    marked = "".join(f" {line}{end}" for line, end in zip(lines, ends, strict=True))
    return f"{LEAF} {_plain(question)}{TEXT}{marked}{ANSWER}"


def num_pieces(text: str) -> int:
    """Tokens of a prompt or an answer in which every piece is one."""
    return len(SPECIAL.findall(text)) + sum(len(PIECE.findall(part)) for part in SPECIAL.split(text))


def parse_leaf(content: str) -> tuple[str, str] | None:
    """Question and text of a leaf's prompt, each line of the text with its end; None for what is no such prompt."""
    found = LEAF_PROMPT.fullmatch(content)
    if found is None:
        return None
    lines = LINE_END.split(found["marked"])[:-1]
    return found["question"], "".join(f"{line.removeprefix(' ')}\n" for line in lines)


def _plain(text: str) -> str:
    """In which nothing is a special token."""
    return text.strip().replace("<|", "< |")


class Trained:
    """Prompts for a model that was trained on them."""

    def begin(self, question: str, context: Text, setting: Setting) -> Messages:
        """The question, how many lines there are, and the levels of sub-calls."""
        return (Message("user", root_prompt(question, context.num_lines, setting.depth)),)

    def told(self, output: str) -> Message:
        """The error."""
        return Message("user", told_prompt(output))

    def leaf(self, question: str, text: str) -> Messages:
        """The question, then the text."""
        return (Message("user", leaf_prompt(question, text)),)

    def program(self, reply: str) -> str | None:
        """The whole reply."""
        return reply or None


def policy_tokenizer(pieces: Iterable[str]) -> "PreTrainedTokenizerFast":
    """A tokenizer in which these pieces (see PIECE) are tokens and all else is spelled in bytes.

    Ids: the special tokens, the bytes, the pieces.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    specials = [*SPECIALS.values(), ROOT, LEAF, LINES, DEPTH, CODE, OUT, TEXT, ANSWER, *MARKS]
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    spelling = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    spelled = ["".join(part for part, _ in spelling.pre_tokenize_str(piece)) for piece in pieces]
    entries = dict.fromkeys([*specials, *symbols, *spelled])
    backend = Tokenizer(models.BPE({entry: i for i, entry in enumerate(entries)}, [], ignore_merges=True))
    split = pre_tokenizers.Split(Regex(PIECE.pattern), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, spelling])
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        clean_up_tokenization_spaces=False,
        additional_special_tokens=specials[len(SPECIALS) :],
        **SPECIALS,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
