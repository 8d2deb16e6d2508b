"""What crosses between the host and a program: frames of JSON, a length before each."""

import json
from collections.abc import Callable
from typing import Any

# Of one frame that a program sends; of one that the host sends.
MAX_CALL_BYTES = 8 << 20
MAX_ANSWER_BYTES = 64 << 20
HEADER_BYTES = 4
MAX_DEPTH = 50
REFERENCE = "$text"

# Where a value is in the context, None for what is no part of it; and back, ValueError for what is outside.
Refer = Callable[[Any], tuple[int, int] | None]
Restore = Callable[[int, int], Any]


def no_reference(value: Any) -> None:
    """A `Refer` where there is no context to refer to."""


def no_text(start: int, end: int) -> Any:
    """A `Restore` where there is no context to refer to."""
    raise ValueError("there is no context to refer to")


def pack(message: dict[str, Any]) -> bytes:
    """One frame. Raises ValueError or TypeError for what is not JSON."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def unpack(body: bytes | bytearray) -> dict[str, Any]:
    """What a frame holds. Raises ValueError for anything but a JSON object."""
    try:
        message = json.loads(body.decode("utf-8", "surrogatepass"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(message, dict):
        raise ValueError("not an object")
    return message


def encode(value: Any, refer: Refer, depth: int = 0) -> Any:
    """`value` as JSON has it; a part of the context as a reference.

    Raises TypeError for what cannot cross and ValueError where it is nested deeper than 50.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    span = refer(value)
    if span is not None:
        return {REFERENCE: list(span)}
    if isinstance(value, list | tuple):
        return [encode(item, refer, depth + 1) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) and key != REFERENCE for key in value):
            raise TypeError(f"only dicts whose keys are strings, and not {REFERENCE}, can cross")
        return {key: encode(item, refer, depth + 1) for key, item in value.items()}
    if isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a {type(value).__name__} cannot cross between program and host")


def decode(value: Any, restore: Restore, depth: int = 0) -> Any:
    """What `encode` was given, with strings made fit for UTF-8. Raises ValueError for what `encode` does not make."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        _check_depth(depth)
        return [decode(item, restore, depth + 1) for item in value]
    if isinstance(value, dict):
        _check_depth(depth)
        if REFERENCE in value:
            return restore(*_span(value))
        return {printable(key): decode(item, restore, depth + 1) for key, item in value.items()}
    return value


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _span(value: dict[str, Any]) -> tuple[int, int]:
    span = value[REFERENCE]
    if len(value) != 1 or not isinstance(span, list) or [type(place) for place in span] != [int, int]:
        raise ValueError("not a reference")
    start, end = span
    if not 0 <= start <= end:
        raise ValueError("a reference that ends before it starts")
    return start, end


def printable(text: str) -> str:
    r"""`text` with lone surrogates, which no file or model takes, written as \ud800."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
