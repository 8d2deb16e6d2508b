"""Text to train on: what to read, and which of it is kept. Importing this needs the standard library only."""

from sweeps.corpus.params import CorpusParams, ValidationParams

__all__ = ["CorpusParams", "ValidationParams"]
