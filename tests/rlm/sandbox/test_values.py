"""What crosses, and what does not."""

import json
from typing import Any

import pytest

from rlm.sandbox.values import MAX_DEPTH, decode, encode, no_reference, no_text, pack, printable, unpack

VALUES = [None, True, 0, -(10**30), 1.5, "", "a\0b", "\U0001f600", [], [1, [2, "x"]], {}, {"a": {"b": [None]}}]


class Text:
    """Stands for a view of the context."""

    def __init__(self, start: int, end: int) -> None:
        self.span = (start, end)


def refer(value: Any) -> tuple[int, int] | None:
    return value.span if isinstance(value, Text) else None


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_cross(value: Any) -> None:
    frame = pack({"value": encode(value, no_reference)})
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert decode(unpack(frame[4:])["value"], no_text) == value


def test_tuples_become_lists() -> None:
    assert encode((1, (2,)), no_reference) == [1, [2]]


def test_texts_cross_as_references() -> None:
    crossing = encode({"parts": [Text(2, 5), "x"]}, refer)
    assert crossing == {"parts": [{"$text": [2, 5]}, "x"]}
    parts = decode(json.loads(json.dumps(crossing)), Text)["parts"]
    assert (parts[0].span, parts[1]) == ((2, 5), "x")


@pytest.mark.parametrize("value", [{1: 2}, {"$text": [0, 1]}, {1, 2}, len, b"x", 1j], ids=repr)
def test_other_values_do_not(value: Any) -> None:
    with pytest.raises(TypeError, match="can"):
        encode([value], no_reference)


@pytest.mark.parametrize(
    "value",
    [[1, 2, 3], [1], [2, 1], [-1, 1], ["0", 1], [0.0, 1], [True, 1], "x", None, {"$text": [0, 1]}],
    ids=repr,
)
def test_forged_references_are_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        decode({"$text": value}, Text)
    with pytest.raises(ValueError):
        decode({"$text": [0, 1], "more": 1}, Text)


def test_depth_is_bounded_both_ways() -> None:
    assert decode(encode(nested(MAX_DEPTH), no_reference), no_text) == nested(MAX_DEPTH)
    with pytest.raises(ValueError, match="nested deeper"):
        encode(nested(MAX_DEPTH + 1), no_reference)
    with pytest.raises(ValueError, match="nested deeper"):
        decode(nested(MAX_DEPTH + 1), no_text)
    with pytest.raises(ValueError, match="nested too deeply"):
        unpack(b"[" * 100_000)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b"{", b'"x"', b"{}{}", b'{"a":"\xff"}', b'{"a":' + b"9" * 9999 + b"}"]
)
def test_what_is_no_frame_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(body)


def test_lone_surrogates_are_spelt_out() -> None:
    assert printable("a\ud800") == "a\\ud800"
    assert printable("\u00e9\U0001f600") == "\u00e9\U0001f600"
    assert decode(unpack(pack({"\udfff": ["\ud800"]})[4:]), no_text) == {"\\udfff": ["\\ud800"]}
