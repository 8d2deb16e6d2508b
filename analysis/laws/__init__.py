"""Functional forms. A law is defined here and nowhere else: a name, its terms, and the paper it is from."""

from analysis.laws.base import FLOPS_PER_PARAM_TOKEN, Array, Coordinate, Expansion, Law, Logs
from analysis.laws.fitted import Fitted, optimal_logs, size_exponent
from analysis.laws.nested import Nested
from analysis.laws.power import PowerSum, Term
from analysis.laws.repeated import Repeated
from analysis.laws.stopping import Stopping

SIZE, DATA, FLOOR = Term("A", {"params": "alpha"}), Term("B", {"tokens": "beta"}), Term("E")

LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        # Hoffmann et al. (2022), approach 3.
        PowerSum("hoffmann", "E + A/N^alpha + B/D^beta", (SIZE, DATA, FLOOR)),
        # Kaplan et al. (2020), equation 1.5: gamma is their alpha_D, alpha gamma their alpha_N.
        Nested("kaplan", "(A/N^alpha + B/D)^gamma", floor_too=False, beta=1.0),
        Nested("interaction", "E + (A/N^alpha + B/D^beta)^gamma", floor_too=True),
        # Muennighoff et al. (2023).
        Repeated(),
        # The same size throughout, the same tokens throughout.
        PowerSum("fixed-n", "E + B/D^beta", (DATA, FLOOR)),
        PowerSum("fixed-d", "E + A/N^alpha", (SIZE, FLOOR)),
        # One size that never stops improving, and one that does.
        PowerSum("power", "B/D^beta", (DATA,)),
        Stopping(),
    )
}
HOFFMANN = LAWS["hoffmann"]

__all__ = [
    "FLOPS_PER_PARAM_TOKEN", "HOFFMANN", "LAWS", "Array", "Coordinate", "Expansion", "Fitted", "Law", "Logs",
    "optimal_logs", "size_exponent",
]  # fmt: skip
