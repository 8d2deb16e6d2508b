"""What a chat model is told: the rules of its REPL, what its programs gave, and a sub-call's question."""

from dataclasses import dataclass
from typing import Literal, Protocol

from rlm.lm import Message, Messages
from rlm.programs import fenced_program
from rlm.text import Text

SYSTEM = """\
You answer a question about a context that is too long to be shown to you. It lies in a Python REPL as `context`, beside
`question`; you read it by writing programs. Reply with one program in a ```python fence; you are shown what it prints
(cut after {printed} characters) and may write another. What a program binds stays for the next.

{texts}
{calls}
- answer(value): the final answer, and the end. answer(value, ready=False): the best so far, kept in case the budget
  ends first.

Work in steps: look at the context's shape first, then read what matters."""

OPEN_TEXTS = """\
- context: behaves like a str whose parts are read when asked for: len(context), context[a:b], `in`, find, count, and
  iteration over its lines. Besides: context.num_lines; context.lines(a, b), context.part(a, b) and
  context.split(num_bytes) (a list that ends at line ends), which give texts of the same kind; context.grep(literal),
  the lines that have it. str(text) for a real str. Modules as re, json, math, collections, itertools and datetime are
  there; files, network and processes are not."""

SEALED_TEXTS = """\
- context: a text that only sub-calls can read. context.size (characters), context.num_lines; context.lines(a, b),
  context.split(num_bytes) (a list that ends at line ends), context.grep(literal) (the lines that have a literal of the
  question or of an answer): texts of the same kind. Answers are strs; of modules collections,
  itertools, json, math and statistics are there."""

CALLS = """\
- ask(question, text): a language model reads the text (at most about {characters} characters at a time) and answers
  with a str. ask_all(question, texts): the same for each of a list, side by side; give it many texts rather than call
  ask in a loop.
"""

RECURSION = """\
- rlm(question, text), rlm_all(question, texts): the same by a solver of its own, with a REPL as yours, for texts that
  are too long for ask.
"""

LEAF = "Answer the question from the text alone, briefly. If the text does not tell, answer: not found."


@dataclass(frozen=True)
class Setting:
    """What a root has to know of its REPL.

    depth: levels of sub-calls below it. printed: characters that it is shown of an output. leaf_characters: what a
    sub-call can read at a time.
    """

    profile: Literal["sealed", "open"]
    depth: int
    printed: int
    leaf_characters: int


class Prompts(Protocol):
    """How a solver words what it asks; a model that was trained for it has words of its own."""

    def begin(self, question: str, context: Text, setting: Setting) -> Messages:
        """A root's first prompt."""
        ...

    def told(self, output: str) -> Message:
        """What a program gave, or why there was none."""
        ...

    def leaf(self, question: str, text: str) -> Messages:
        """A sub-call's prompt."""
        ...

    def program(self, reply: str) -> str | None:
        """The program in a reply, None where there is none."""
        ...


class Chat:
    """For models that follow instructions."""

    def begin(self, question: str, context: Text, setting: Setting) -> Messages:
        """Rules, then the question and the context's size."""
        calls = CALLS.format(characters=setting.leaf_characters) if setting.depth else ""
        rules = SYSTEM.format(
            printed=setting.printed,
            texts=OPEN_TEXTS if setting.profile == "open" else SEALED_TEXTS,
            calls=calls + (RECURSION if setting.depth > 1 else ""),
        )
        size = f"context: {len(context)} characters in {context.num_lines} lines."
        return (Message("system", rules), Message("user", f"{size}\nQuestion: {question}"))

    def told(self, output: str) -> Message:
        """As the user's turn."""
        return Message("user", output)

    def leaf(self, question: str, text: str) -> Messages:
        """The text, then the question, which a model that reads from left to right finds best at the end."""
        return (Message("system", LEAF), Message("user", f"{text}\n\nQuestion: {question}"))

    def program(self, reply: str) -> str | None:
        """The first fenced program."""
        return fenced_program(reply)
