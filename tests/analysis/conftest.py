"""Simulated sweeps whose law is known."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.laws import HOFFMANN, Fitted
from analysis.params import FitParams
from analysis.points import validate_points
from analysis.scaling import fit_law

TRUTH = Fitted.of(HOFFMANN, {"A": 60.0, "B": 1000.0, "E": 1.07, "alpha": 0.48, "beta": 0.56})
WIDTHS = (24, 32, 40, 48, 64, 80, 96)
TOKENS = (1_000_000, 2_100_000, 4_200_000, 8_400_000)
QUICK = FitParams(starts=8, bootstrap=200)


def simulated_sweep(
    widths=WIDTHS, tokens=TOKENS, num_seeds=2, cell_noise=0.004, branch_noise=0.002, law=TRUTH, seed=0
) -> pd.DataFrame:
    """A finished sweep under `law`, with one random effect a cell and one a branch on ln(loss)."""
    rng = np.random.default_rng(seed)
    rows = []
    for width in widths:
        num_params = 36 * width**2
        for cell_seed in range(num_seeds):
            effect = cell_noise * rng.standard_normal()
            for num_tokens in tokens:
                noise = effect + branch_noise * rng.standard_normal()
                rows.append(
                    {
                        "size": width,
                        "cell": f"w{width:03d}-s{cell_seed}",
                        "seed": cell_seed,
                        "params": num_params,
                        "params_total": num_params + 256 * width,
                        "params_with_head": num_params + 512 * width,
                        "tokens": num_tokens,
                        "flops": 6.5 * num_params * num_tokens,
                        "loss": float(law.loss(num_params, num_tokens)) * float(np.exp(noise)),
                        "loss_se": 0.01,
                        "seconds": num_params * num_tokens / 3e9,
                        "tokens_per_second": 3e9 / num_params,
                        "status": "done",
                    }
                )
    return validate_points(pd.DataFrame(rows))


@pytest.fixture(scope="session")
def truth() -> Fitted:
    return TRUTH


@pytest.fixture(scope="session")
def quick() -> FitParams:
    return QUICK


@pytest.fixture(scope="session")
def simulate() -> Callable[..., pd.DataFrame]:
    return simulated_sweep


@pytest.fixture(scope="session")
def sweep() -> pd.DataFrame:
    return simulated_sweep()


@pytest.fixture(scope="session")
def sweep_law(sweep: pd.DataFrame) -> dict:
    return fit_law(sweep, QUICK, {"points": "0" * 64})
