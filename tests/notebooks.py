"""Notebooks executed one after another in one kernel: starting one, and what notebooks import, is what takes time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

Execute = Callable[[Path], nbformat.NotebookNode]
FORGET = "%reset -f"


@contextmanager
def executing(folder: Path, environment: Mapping[str, str]) -> Iterator[Execute]:
    """A function that executes a notebook, in `folder` and with nothing of those before; it raises where a cell does.

    The notebook comes back with its outputs; the file stays as it is.
    """
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(folder), env=dict(environment))

    def execute(path: Path) -> nbformat.NotebookNode:
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.insert(0, nbformat.v4.new_code_cell(FORGET))
        client = NotebookClient(notebook, km=manager, timeout=120)
        try:
            return client.execute(cleanup_kc=False)
        finally:
            if client.kc is not None:
                client.kc.stop_channels()

    try:
        yield execute
    finally:
        manager.shutdown_kernel(now=True)


def text_of(notebook: nbformat.NotebookNode) -> str:
    """Everything that its cells displayed as text."""
    shown = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            shown.append(output.get("text", "") or data.get("text/markdown") or data.get("text/plain", ""))
    return "\n".join(shown)
