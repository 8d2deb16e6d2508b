"""The one thing that YAML cannot say: how many tokens an answer may take follows from the items."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from lm_eval.api.task import ConfigurableTask


class GenerateTask(ConfigurableTask):
    """Generates as many tokens as the longest target has characters, which are enough for its full stop.

    lm-eval cuts a prompt where it and the tokens to generate do not fit a model's window. Prompt and target fit it
    together; with any larger number of tokens prompts would lose their beginnings.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config={key: value for key, value in config.items() if key != "class"})
        rows = cast("Sequence[Mapping[str, Any]]", self.eval_docs)
        longest = max(len(row["target"]) for row in rows)
        self.set_config("generation_kwargs", {"max_gen_toks": longest}, update=True)
