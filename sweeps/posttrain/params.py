"""What the comparison of ways to train a root further is asked for. Standard library only, as params.yaml is read."""

import typing
from dataclasses import dataclass
from typing import Literal

Method = Literal["rft", "grpo"]
METHODS: tuple[Method, ...] = typing.get_args(Method)


@dataclass(frozen=True)
class PosttrainParams:
    """Arms that go on from one trained model, each at `questions` times `group` sampled programs.

    Questions are of every task at every length, `windows`, in turn. Rejection fine-tuning (`rft`) goes `epochs` times
    over what it keeps; GRPO (`grpo`) sees a question once. batch: questions, or kept programs, of an optimiser step.
    learning_rate: the first; it falls to nothing over the steps. A program's reward is its score, less `token_price`
    for each thousand tokens that it spends, less `invalid_price` where it does not run. items: held-out ones of each
    task and length, on which the arms are compared.
    """

    tasks: tuple[str, ...]
    methods: tuple[Method, ...] = METHODS
    questions: int = 256
    group: int = 16
    batch: int = 8
    temperature: float = 1.0
    epochs: int = 3
    learning_rate: float = 5e-4
    token_price: float = 0.1
    invalid_price: float = 0.5
    windows: tuple[int, ...] = (1, 2, 4, 8)
    items: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("tasks", "methods", "windows"):
            values = getattr(self, name)
            if len(set(values)) != len(values) or not values:
                raise ValueError(f"{name} is {list(values)}: list one or more, each once")
        for name in ("questions", "batch", "epochs", "items"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give 1 or more")
        if min(self.windows) < 1:
            raise ValueError(f"windows is {list(self.windows)}: give lengths of 1 or more")
        if self.group < 2:
            raise ValueError(f"group is {self.group}: give 2 or more, an advantage is over the others of a group")
        if self.questions % self.batch:
            raise ValueError(f"questions is {self.questions}: give a multiple of batch, {self.batch}")
        for name in ("temperature", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give a number above 0")
        for name in ("token_price", "invalid_price"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give 0 or more")
