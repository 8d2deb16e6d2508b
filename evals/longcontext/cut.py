"""As much of a text as there is room for."""

import bisect
from collections.abc import Callable, Iterable


def joined(lines: Iterable[str]) -> str:
    """A text of lines, each with its end."""
    return "".join(f"{line}\n" for line in lines)


def most(count: int, is_right: Callable[[int], bool]) -> int:
    """The largest number up to `count` that is right, where all smaller ones are; 0 is right always.

    By doubling, then by halving: of much that is far from right little is tried.
    """
    bound = 1
    while bound <= count and is_right(bound):
        bound *= 2
    tried = range(bound // 2 + 1, min(bound - 1, count) + 1)
    return bound // 2 + bisect.bisect_left(tried, True, key=lambda number: not is_right(number))


def ends(text: str, size: Callable[[str], int], room: int) -> str:
    """The text where it fits; else as many of its first lines as half of the room takes, and of its last lines as the
    rest does; empty where no line fits.

    size: tokens of a text, with all that goes with it.
    """
    lines = text.splitlines()
    empty = size("")
    half = empty + (room - empty) // 2

    def of(num_first: int, num_last: int) -> str:
        return joined([*lines[:num_first], *lines[len(lines) - num_last :]])

    num_first = most(len(lines), lambda count: size(of(count, 0)) <= half)
    num_last = most(len(lines) - num_first, lambda count: size(of(num_first, count)) <= room)
    return of(num_first, num_last)
