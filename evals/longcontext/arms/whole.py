"""The context in one prompt: all of it, or its two ends."""

from dataclasses import dataclass
from typing import ClassVar

from evals.longcontext.arms.arm import Asked
from evals.longcontext.arms.reader import Asker, Reader, joined, most
from rlm.calls import TooLong


@dataclass(frozen=True)
class Direct(Reader):
    """Reads the whole context at once, beyond the model's window too.

    most_tokens: that prompt and answer may have together.
    """

    called: ClassVar[str] = "direct"

    most_tokens: int = 16_384

    @property
    def window(self) -> int:
        """As the dial has it, whatever the model was trained for."""
        return self.most_tokens

    async def read(self, asker: Asker, asked: Asked) -> str:
        """One call; raises ValueError for a context beyond `most_tokens`."""
        size = asker.size(asked.question, asked.context)
        if size > self.most_tokens:
            raise ValueError(
                f"direct: most_tokens {self.most_tokens}: the context takes {size} with question and answer: "
                "leave it out, or allow more"
            )
        return await asker.ask(asked.question, asked.context)


@dataclass(frozen=True)
class Truncation(Reader):
    """Reads the first lines and the last, about half of the window each."""

    called: ClassVar[str] = "truncation"

    async def read(self, asker: Asker, asked: Asked) -> str:
        """One call."""
        return await asker.ask(asked.question, ends(asker, asked.question, asked.context))


def ends(asker: Asker, question: str, context: str) -> str:
    """The context where it fits; else as many of its first lines as half of the room takes, and of its last lines as
    the rest does. Raises TooLong where no line fits."""
    lines = context.splitlines()
    empty = asker.size(question, "")
    half = empty + (asker.window - empty) // 2

    def of(num_first: int, num_last: int) -> str:
        return joined([*lines[:num_first], *lines[len(lines) - num_last :]])

    num_first = most(len(lines), lambda count: asker.size(question, of(count, 0)) <= half)
    num_last = most(len(lines) - num_first, lambda count: asker.fits(question, of(num_first, count)))
    if not num_first + num_last:
        raise TooLong(f"neither the first line nor the last fits a window of {asker.window} tokens")
    return of(num_first, num_last)
