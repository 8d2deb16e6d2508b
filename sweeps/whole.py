"""Whether files that were written whole still are: a dying machine or a full disk cuts them short. Standard library."""

import json
import struct
import zipfile
from pathlib import Path

HEADER_LENGTH = struct.Struct("<Q")  # how a safetensors file begins


def checkpoint_is_whole(directory: Path) -> bool:
    """Whether its config is not empty and its weights are as long as their header says.

    A directory that is not there counts as whole: a record stays a data point without its weights.
    """
    if not directory.exists():
        return True
    config, weights = directory / "config.json", list(directory.glob("*.safetensors"))
    has_config = config.is_file() and config.stat().st_size > 0
    return has_config and bool(weights) and all(map(weights_are_whole, weights))


def weights_are_whole(path: Path) -> bool:
    """Whether a safetensors file has a header and exactly the bytes that the header promises."""
    try:
        with path.open("rb") as file:
            (length,) = HEADER_LENGTH.unpack(file.read(HEADER_LENGTH.size))
            header = json.loads(file.read(length))
    except (struct.error, ValueError):  # Too short, not JSON, not UTF-8.
        return False
    end = max((tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"), default=0)
    return path.stat().st_size == HEADER_LENGTH.size + length + end


def state_is_whole(path: Path) -> bool:
    """Whether a file of torch.save ends as a zip archive does: one that was cut short does not."""
    return zipfile.is_zipfile(path)


def ends_in_a_line(path: Path) -> bool:
    """Whether a text file is missing, empty, or ends with the end of a line."""
    if not path.exists():
        return True
    text = path.read_bytes()
    return not text or text.endswith(b"\n")
