"""How far runs scatter around a law, between cells and within them: the branches of a cell share its trunk."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.laws import Array


@dataclass(frozen=True)
class Noise:
    """Standard deviations of ln(loss) around the law: between cells (seed and misfit at that size), within a cell."""

    cell: float
    residual: float
    degrees: float  # effective degrees of freedom behind their sum (Satterthwaite)

    @property
    def run(self) -> float:
        """Standard deviation of one further run: another cell and another branch."""
        return float(np.hypot(self.cell, self.residual))


def noise_of(cells: pd.Series, residual_N: Array, jacobian_NK: Array) -> Noise:
    """Split the residuals of ln(loss) into cell and branch noise by analysis of variance.

    The fit has taken up part of the noise: with H the projection on the columns of the Jacobian (the fit linearised),
    residuals are (I - H) times the noise, and the expected sums of squares within and between cells follow as traces,
    so that every parameter is charged where it works: those of the tokens within cells, those of the size between.

    The cell component is never below the residual: another seed changes all that another branch changes, and more.
    Few cells often give a between-cell variance of nearly zero by luck; then one variance for both is estimated from
    everything. Where every cell is a single run the two cannot be told apart, and the whole is the cell's.
    """
    num_points, num_free = len(residual_N), np.linalg.matrix_rank(jacobian_NK)
    cell_of_point, names = pd.factorize(cells)
    if len(names) == num_points:
        degrees = max(1, num_points - num_free)
        return Noise(float(np.sqrt(residual_N @ residual_N / degrees)), 0.0, float(degrees))
    basis_NK = np.linalg.svd(jacobian_NK, full_matrices=False)[0][:, :num_free]
    free_NN = np.eye(num_points) - basis_NK @ basis_NK.T
    member_NC = np.eye(len(names))[cell_of_point]
    shared_NN = member_NC @ member_NC.T  # covariance of points under a cell effect of variance one
    between_NN = member_NC / member_NC.sum(axis=0) @ member_NC.T
    forms = np.stack([np.eye(num_points) - between_NN, between_NN])  # sums of squares within and between cells
    freed = free_NN @ forms @ free_NN
    # Rows: the two sums of squares; columns: what a residual and what a cell variance of one add to their expectation.
    expected_22 = np.column_stack([np.trace(freed, axis1=1, axis2=2), (freed * shared_NN).sum(axis=(1, 2))])
    squares = residual_N @ forms @ residual_N
    shares_22 = np.linalg.pinv(expected_22)
    within, cell = shares_22 @ squares
    total_2 = shares_22.sum(axis=0)  # of the sums of squares in cell + within
    if not 0 < within <= cell:
        within = cell = squares.sum() / expected_22.sum()
        total_2 = np.full(2, 2 / expected_22.sum())
    covariance_NN = cell * shared_NN + within * np.eye(num_points)
    of_noise_NN = np.tensordot(total_2, freed, 1) @ covariance_NN
    spread = 2 * np.sum(of_noise_NN * of_noise_NN.T)  # variance of a quadratic form of normal noise
    degrees = 2 * (cell + within) ** 2 / max(spread, 1e-300)
    return Noise(float(np.sqrt(cell)), float(np.sqrt(within)), float(np.clip(degrees, 1.0, num_points - num_free)))
