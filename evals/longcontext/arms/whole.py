"""The context in one prompt: all of it, or its two ends."""

from dataclasses import dataclass
from typing import ClassVar

from evals.longcontext.arms.arm import Asked
from evals.longcontext.arms.reader import Asker, Reader
from evals.longcontext.cut import ends
from evals.longcontext.params import DIRECT_TOKENS
from rlm.calls import TooLong


@dataclass(frozen=True)
class Direct(Reader):
    """Reads the whole context at once, beyond the model's window too.

    most_tokens: that prompt and answer may have together.
    """

    called: ClassVar[str] = "direct"

    most_tokens: int = DIRECT_TOKENS

    @property
    def window(self) -> int:
        """As the dial has it, whatever the model was trained for."""
        return self.most_tokens

    async def read(self, asker: Asker, asked: Asked) -> str:
        """One call; raises TooLong for a context beyond `most_tokens`."""
        return await asker.ask(asked.question, asked.context)


@dataclass(frozen=True)
class Truncation(Reader):
    """Reads the first lines and the last, about half of the window each."""

    called: ClassVar[str] = "truncation"

    async def read(self, asker: Asker, asked: Asked) -> str:
        """One call; raises TooLong where neither the first line nor the last fits."""
        found = ends(asked.context, lambda text: asker.size(asked.question, text), asker.window)
        if not found:
            raise TooLong(f"neither the first line nor the last fits a window of {asker.window} tokens")
        return await asker.ask(asked.question, found)
