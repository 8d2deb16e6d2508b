"""What an instruction can ask to be done with a string; each has a name, and some an argument after a hyphen."""

import random
from string import ascii_lowercase
from typing import Literal, get_args

OperationName = Literal["rev", "sort", "novow", "drop", "count", "twice", "upper", "sub", "take"]
OPERATIONS: tuple[OperationName, ...] = get_args(OperationName)
LONGEST_LABEL = len("count-a")
WITHOUT_VOWELS = str.maketrans("", "", "aeiouAEIOU")


def draw_argument(name: OperationName, text: str, rng: random.Random) -> str:
    """One that lets the operation change the text: a letter to drop, a letter and its substitute, how many to take."""
    match name:
        case "drop" | "count":
            return rng.choice(text)
        case "sub":
            return rng.choice(text) + rng.choice(ascii_lowercase)
        case "take":
            return str(rng.randint(1, max(1, len(text) - 1)))
        case _:
            return ""


def apply(name: OperationName, argument: str, text: str) -> str:
    """The text after the operation; capitals sort before small letters, and letters count as they are written."""
    match name:
        case "rev":
            return text[::-1]
        case "sort":
            return "".join(sorted(text))
        case "novow":
            return text.translate(WITHOUT_VOWELS)
        case "drop":
            return text.replace(argument, "")
        case "count":
            return str(text.count(argument))
        case "twice":
            return text * 2
        case "upper":
            return text.upper()
        case "sub":
            return text.replace(argument[0], argument[1])
        case "take":
            return text[: int(argument)]


def label(name: OperationName, argument: str) -> str:
    """The operation as a prompt says it: `rev`, `drop-a`, `sub-ab` (b for a), `take-3`."""
    return f"{name}-{argument}" if argument else name
