"""Small lists of English words, and sentences made of them."""

import random

ADJECTIVES = (
    "amber", "ancient", "bitter", "brisk", "calm", "clever", "crimson", "distant", "dusty", "eager", "faded", "gentle",
    "gloomy", "hollow", "humble", "icy", "jolly", "lively", "mellow", "narrow", "nimble", "pale", "patient", "proud",
    "quiet", "rapid", "rusty", "shallow", "silent", "silver", "sleepy", "sturdy", "sudden", "tidy", "velvet", "wild",
)  # fmt: skip
NOUNS = (
    "anchor", "basket", "blanket", "bottle", "bridge", "bucket", "button", "candle", "carpet", "castle", "chimney",
    "cottage", "curtain", "engine", "feather", "garden", "hammer", "harbour", "helmet", "kettle", "ladder", "lantern",
    "lemon", "mirror", "needle", "orchard", "paddle", "pebble", "pillow", "puzzle", "rabbit", "ribbon", "saddle",
    "shovel", "signal", "socket", "spider", "stable", "teapot", "ticket", "tunnel", "turtle", "valley", "violin",
    "wagon", "walnut", "whistle", "window",
)  # fmt: skip
VERBS = ("carried", "found", "followed", "hid", "kept", "moved", "noticed", "painted", "passed", "repaired", "watched")
PLACES = (
    "attic", "barn", "cellar", "ferry", "forest", "kitchen", "library", "market", "meadow", "mill", "pier", "quarry",
    "river", "square", "station", "tower", "village", "workshop",
)  # fmt: skip
NAMES = (
    "Agnes", "Bruno", "Clara", "Dimitri", "Edith", "Felix", "Greta", "Hugo", "Irene", "Jonas", "Karin", "Leon",
    "Marta", "Nils", "Olga", "Pavel", "Rosa", "Stefan", "Thea", "Viktor",
)  # fmt: skip
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip

# Topics that no sentence names; no word is of two topics.
TOPICS = {
    "food": ("bread", "soup", "pepper", "cheese", "noodles", "recipe", "oven", "dessert", "butter", "salad"),
    "sport": ("goalkeeper", "sprint", "referee", "tennis", "marathon", "league", "coach", "swimmer", "hockey", "medal"),
    "weather": ("drizzle", "fog", "thunder", "frost", "heatwave", "breeze", "hail", "sunshine", "snowfall", "clouds"),
    "travel": (
        "passport",
        "airport",
        "suitcase",
        "hotel",
        "itinerary",
        "cruise",
        "visa",
        "hostel",
        "luggage",
        "tourist",
    ),
    "music": ("melody", "drummer", "choir", "concert", "guitar", "orchestra", "chorus", "rhythm", "piano", "singer"),
    "money": ("mortgage", "salary", "invoice", "savings", "loan", "pension", "budget", "tax", "dividend", "bank"),
    "health": ("dentist", "fever", "vaccine", "headache", "clinic", "surgeon", "allergy", "pills", "nurse", "cough"),
    "school": (
        "homework",
        "teacher",
        "exam",
        "pupil",
        "algebra",
        "spelling",
        "lesson",
        "diploma",
        "classroom",
        "essay",
    ),
}


def sentence(rng: random.Random) -> str:
    """Without meaning for any question."""
    return (
        f"The {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)} {rng.choice(VERBS)} the {rng.choice(ADJECTIVES)} "
        f"{rng.choice(NOUNS)} near the {rng.choice(PLACES)}."
    )


MOST_COMPOUNDS = len(ADJECTIVES) * len(NOUNS) * (1 + len(PLACES) * (1 + len(VERBS)))


def compound(number: int) -> str:
    """A word of its own for each number below MOST_COMPOUNDS: of two parts, then of three, then of four."""
    if not 0 <= number < MOST_COMPOUNDS:
        raise ValueError(f"compound {number}: give 0 to {MOST_COMPOUNDS - 1}")
    number, adjective = divmod(number, len(ADJECTIVES))
    number, noun = divmod(number, len(NOUNS))
    parts = [ADJECTIVES[adjective], NOUNS[noun]]
    for more in (PLACES, VERBS):
        if number:
            number, last = divmod(number - 1, len(more))
            parts.append(more[last])
    return "-".join(parts)
