"""Whatever a suite trains on, by what its store says of itself."""

from pathlib import Path

from sweeps.documents import DocumentData, load_documents
from sweeps.tokens import TokenData, load_tokens, read_manifest

TrainingData = TokenData | DocumentData


def load_data(path: Path) -> TrainingData:
    """The store in that directory: running text, or documents with a loss mask. Raises ValueError if there is none."""
    return load_documents(path) if read_manifest(path)["layout"] == "documents" else load_tokens(path)
