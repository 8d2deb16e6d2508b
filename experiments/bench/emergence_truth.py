"""Curves whose truth is known, for `bench emergence`: nothing here is the detector's code.

A run at x = log10(compute) has the true score curve(x + jitter * normal) and is tested on items.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import logistic

from experiments.params import load
from experiments.presets import PRESETS
from sweeps.grid import cells

Array = NDArray[np.float64]
CurveOf = Callable[[Array], Array]
TOP = 0.9
SLOPE = 0.6  # nats a token and decade of a log-likelihood that improves smoothly
ROUNDING = 0.1  # decades over which it comes to rest
NINETIETH = float(logistic.ppf(0.9))


@dataclass(frozen=True)
class Design:
    """Scales evenly over `decades`, or at `places` within them; seeds at each, items of a test; `jitter` in decades."""

    num_scales: int
    num_seeds: int
    num_items: int
    jitter: float
    decades: float = 4.0
    chance: float = 0.1
    places: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """As the table calls it."""
        if self.num_scales == 1:
            return f"{self.num_seeds} seeds x {self.num_items}"
        scale = "" if self.decades == 4.0 else f", {self.decades:.3g} decades"
        chance = "" if self.chance == 0.1 else f", chance {self.chance:g}"
        return f"{self.num_scales}x{self.num_seeds}x{self.num_items} ({self.jitter:g}{scale}{chance})"

    @property
    def x_N(self) -> Array:
        """log10(compute) of every run, 18 at the smallest."""
        places = self.places or np.linspace(0.0, self.decades, self.num_scales)
        return np.repeat(18.0 + np.array(places), self.num_seeds)


@dataclass(frozen=True)
class Truth:
    """What was simulated; midpoint and width (10-90%, decades) where the curve has them."""

    x_N: Array
    score_N: Array
    continuous_N: Array | None = None
    midpoint: float | None = None
    width: float | None = None


def rise(midpoint: float, width: float, low: float, high: float) -> CurveOf:
    """A logistic between two levels; width 0 is a step."""
    if width == 0:
        return lambda x: np.where(x < midpoint, low, high)
    return lambda x: low + (high - low) * logistic.cdf(x, loc=midpoint, scale=width / (2 * NINETIETH))


def ramp(midpoint: float, half: float) -> CurveOf:
    """A log-likelihood that grows by SLOPE a decade up to zero, and is -half at the midpoint."""
    corner = float(np.log(np.expm1(half / (SLOPE * ROUNDING))))
    return lambda x: -SLOPE * ROUNDING * np.logaddexp(0.0, corner - (x - midpoint) / ROUNDING)


def middle(design: Design, rng: np.random.Generator) -> float:
    """A place in the middle half of the range."""
    return float(18.0 + design.decades * rng.uniform(0.25, 0.75))


def of_width(design: Design, width: float, rng: np.random.Generator) -> Truth:
    """A rise from chance to TOP somewhere in the middle half."""
    midpoint = middle(design, rng)
    score_N = observed(rise(midpoint, width, design.chance, TOP), design, rng)
    return Truth(design.x_N, score_N, None, midpoint, width)


def shapeless(design: Design, kind: str, rng: np.random.Generator) -> Truth:
    """Flat at chance, a straight line, a power law of the error, or convex: chance that gives way slowly."""
    chance, decades = design.chance, design.decades
    height = TOP - chance

    def share(x: Array) -> Array:
        return np.clip((x - 18.0) / decades, 0.0, 1.0)

    curves: dict[str, CurveOf] = {
        "flat": lambda x: np.full_like(x, chance),
        "linear": lambda x: chance + height * share(x),
        "power": lambda x: chance + height * (1 - 10 ** (-decades * share(x) / 2)),
        "convex": lambda x: chance + height * share(x) ** 3,
    }
    return Truth(design.x_N, observed(curves[kind], design, rng))


def observed(curve: CurveOf, design: Design, rng: np.random.Generator) -> Array:
    """Scores of every run."""
    x_N = design.x_N
    truth_N = curve(x_N + design.jitter * rng.standard_normal(len(x_N)))
    return rng.binomial(design.num_items, np.clip(truth_N, 0.0, 1.0)) / design.num_items


def with_likelihood(design: Design, length: int, jump: bool, rng: np.random.Generator) -> Truth:
    """Exact match of `length` tokens, each right with probability exp(log-likelihood): EM = p^length.

    Without a jump the log-likelihood a token grows in proportion to log(compute) until it has nowhere to go, so that
    exact match rises within 0.18 decades for 20 tokens and 0.73 for 5; with one it jumps within a quarter of a decade.
    Exact match passes one half near a place in the middle half. The log-likelihood has the noise of a mean over items.
    """
    midpoint = middle(design, rng)
    jumping = rise(midpoint, 0.25, -3.0 / length - 0.5, -0.02 / length)
    log_likelihood = jumping if jump else ramp(midpoint, float(np.log(2) / length))
    x_N = design.x_N
    seen_N = log_likelihood(x_N + design.jitter * rng.standard_normal(len(x_N)))
    noise_N = rng.standard_normal(len(x_N)) * (0.3 * np.abs(seen_N) + 0.01) / np.sqrt(design.num_items)
    score_N = rng.binomial(design.num_items, np.exp(length * seen_N)) / design.num_items
    return Truth(x_N, score_N, seen_N + noise_N)


def laptop(chance: float) -> Design:
    """The project's own sweep on a laptop: its scales, seeds and items, as the preset has them."""
    params = load(PRESETS / "laptop.yaml")
    suite, vocab_size = params.suites["emergence"], params.tokenizer.vocab_size
    assert params.abilities is not None
    computes = Counter(
        steps * suite.training.batch_tokens
        * cell.shape.flops_per_token(vocab_size, suite.training.sequence_length)
        for cell in cells("emergence", suite, vocab_size)
        for steps in cell.steps
    )  # fmt: skip
    (num_seeds,) = set(computes.values())
    log_computes = np.log10(sorted(computes))
    places = tuple(float(place) for place in log_computes - log_computes[0])
    return Design(len(places), num_seeds, params.abilities.items, 0.1, places[-1], chance, places)


DESIGNS = (
    Design(6, 3, 100, 0.1),
    Design(8, 1, 200, 0.1),
    Design(8, 3, 200, 0.1),
    Design(12, 3, 200, 0.2),
    Design(12, 5, 500, 0.1),
    laptop(chance=0.0),
    laptop(chance=0.1),
)
CHANCE_ZERO = (Design(8, 3, 200, 0.1, chance=0.0), Design(12, 3, 200, 0.2, chance=0.0), DESIGNS[5])
SHAPES = ("flat", "linear", "power", "convex")


def draw(design: Design, kind: str, rng: np.random.Generator) -> Truth:
    """A curve of a kind: a shape, `mirage L` or `jump L`, or a width in decades."""
    if kind in SHAPES:
        return shapeless(design, kind, rng)
    what, _, length = kind.partition(" ")
    if length:
        return with_likelihood(design, int(length), what == "jump", rng)
    return of_width(design, float(kind), rng)


def table_of(design: Design, truth: Truth) -> pd.DataFrame:
    """As the detector reads it."""
    columns = {
        "task": "simulated",
        "metric": "exact_match",
        "compute": 10**truth.x_N,
        "seed": np.tile(np.arange(design.num_seeds), design.num_scales),
        "value": truth.score_N,
        "num_items": float(design.num_items),
        "chance": design.chance,
    }
    if truth.continuous_N is not None:
        columns["continuous"] = truth.continuous_N
    return pd.DataFrame(columns)


# Seeds of one scale: centres of two groups and the standard deviation in each, or one group with a broad peak.
MODES = {"modes .1/.9": (0.1, 0.9, 0.0), "modes .1/.5": (0.1, 0.5, 0.0), "modes .1/.9 noisy": (0.1, 0.9, 0.05)}
PEAKS: dict[str, Callable[[int, np.random.Generator], Array]] = {
    "one score": lambda num, rng: np.full(num, 0.5),
    "normal": lambda num, rng: 0.5 + 0.1 * rng.standard_normal(num),
    "skewed": lambda num, rng: rng.beta(1.5, 8.0, num),
    "uniform": lambda num, rng: rng.uniform(0.2, 0.8, num),
    "logit-normal": lambda num, rng: logistic.cdf(2 * rng.standard_normal(num)),
}


def of_seeds(num_seeds: int) -> Design:
    """One scale with many seeds."""
    return Design(1, num_seeds, 200, 0.0)


def seeds_of(design: Design, kind: str, rng: np.random.Generator) -> Array:
    """Scores of one scale's seeds; of two groups neither is empty."""
    num = design.num_seeds
    if kind in MODES:
        low, high, spread = MODES[kind]
        num_high = int(np.clip(rng.binomial(num, 0.5), 1, num - 1))
        truth_N = np.where(np.arange(num) < num_high, high, low) + spread * rng.standard_normal(num)
    else:
        truth_N = PEAKS[kind](num, rng)
    return rng.binomial(design.num_items, np.clip(truth_N, 0.0, 1.0)) / design.num_items
