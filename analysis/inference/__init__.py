"""What accelerations of inference gain as models grow: laws, crossovers, compositions of a table of measured rows."""

from analysis.inference.analyse import analyse
from analysis.inference.forms import law_values

__all__ = ["analyse", "law_values"]
