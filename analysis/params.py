"""What the scaling-law fit can be told. Imports only the standard library, so that reading params.yaml stays light."""

from dataclasses import dataclass
from typing import Literal

LawName = Literal["hoffmann", "kaplan", "interaction", "repeated", "fixed-n", "fixed-d", "power", "stops"]
EstimatorName = Literal["huber", "l1", "least-squares"]


@dataclass(frozen=True)
class FitParams:
    """Settings of one law fit: form, estimator, its uncertainty and what is held out.

    `law` is the form and `estimator` the loss summed over residuals of ln L; `delta` is the Huber threshold on them
    (Hoffmann et al. 2022 use 1e-3), `starts` the number of initial points, `bootstrap` the number of refitted draws
    behind every interval, `held_out_sizes` how many of the largest sizes are predicted rather than fitted, and `seed`
    fixes starts and draws.
    """

    law: LawName = "hoffmann"
    estimator: EstimatorName = "huber"
    delta: float = 1e-3
    starts: int = 48
    bootstrap: int = 1000
    held_out_sizes: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.delta <= 1:
            raise ValueError(f"fit.delta is {self.delta}: give a Huber threshold in (0, 1], usually 0.001")
        for name, least in (("starts", 1), ("bootstrap", 100), ("held_out_sizes", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"fit.{name} is {value!r}: give a whole number of at least {least}")
