"""Made-up things to search for, addresses to open and facts to keep."""

from __future__ import annotations

import random

from llmos.foundry.tasks.base import Split, common_words, held_out, made_up

#: Everyday nouns.
NOUNS = ["meeting", "invoice", "recipe", "garden", "budget", "contract", "holiday", "report", "project", "engine", "bicycle", "heating", "insurance", "tax", "passport", "school", "library", "printer", "router", "kitchen", "window", "roof", "dentist", "doctor", "bread", "cake", "soup", "tomato", "potato", "rose", "apple", "river", "mountain", "bridge", "station", "train", "bus", "ticket", "flight", "hotel", "museum", "castle", "church", "market", "bank", "loan", "rent", "salary", "letter", "email", "password", "server", "database", "backup", "network", "keyboard", "battery", "camera", "guitar", "piano", "violin", "song", "film", "book", "chapter", "poem", "story", "lecture", "exam", "course", "lesson", "homework", "thesis", "experiment", "microscope", "telescope", "planet", "star", "comet", "moon", "sun", "weather", "storm", "rain", "snow", "wind", "forest", "desert", "island", "beach", "lake", "ocean", "whale", "dolphin", "horse", "dog", "cat", "bird", "bee", "spider", "football", "tennis", "chess", "marathon", "swimming", "yoga", "medicine", "vitamin", "coffee", "tea", "wine", "cheese", "chocolate", "sugar", "salt", "pepper"]  # fmt: skip
#: Regular verbs: base form and past.
VERBS = [
    tuple(pair.split("/"))
    for pair in [
        "plant/planted",
        "repair/repaired",
        "paint/painted",
        "open/opened",
        "close/closed",
        "clean/cleaned",
        "visit/visited",
        "check/checked",
        "finish/finished",
        "start/started",
        "order/ordered",
        "deliver/delivered",
        "collect/collected",
        "count/counted",
        "cover/covered",
        "decorate/decorated",
        "design/designed",
        "discover/discovered",
        "explain/explained",
        "fill/filled",
        "fix/fixed",
        "guard/guarded",
        "inspect/inspected",
        "install/installed",
        "invent/invented",
        "kick/kicked",
        "launch/launched",
        "lift/lifted",
        "load/loaded",
        "lock/locked",
        "measure/measured",
        "mend/mended",
        "move/moved",
        "name/named",
        "own/owned",
        "pack/packed",
        "park/parked",
        "plan/planned",
        "polish/polished",
        "prepare/prepared",
        "print/printed",
        "protect/protected",
        "publish/published",
        "record/recorded",
        "remove/removed",
        "rent/rented",
        "replace/replaced",
        "rescue/rescued",
        "restore/restored",
        "return/returned",
        "sign/signed",
        "store/stored",
        "study/studied",
        "test/tested",
        "train/trained",
        "translate/translated",
        "use/used",
        "wash/washed",
        "watch/watched",
        "water/watered",
        "welcome/welcomed",
        "cook/cooked",
    ]
]
_ADJECTIVES = [
    "new",
    "old",
    "last",
    "next",
    "big",
    "small",
    "green",
    "red",
    "winter",
    "summer",
    "spring",
    "annual",
    "monthly",
    "cheap",
    "best",
    "first",
    "family",
    "local",
]
_SITES = ("example.org", "example.com", "example.net", "test.example", "wiki.example", "news.example")
_RELATIVES = (
    "sister",
    "brother",
    "mother",
    "father",
    "dog",
    "cat",
    "boss",
    "teacher",
    "friend",
    "doctor",
    "neighbour",
)
_PERSONAL = (
    "name",
    "birthday",
    "favourite colour",
    "favourite food",
    "car",
    "home town",
    "job",
    "shoe size",
    "room number",
)


def topic(rng: random.Random, split: Split) -> str:
    """A few words that somebody may look for."""
    while True:
        noun, other = rng.choice(NOUNS), rng.choice(NOUNS)
        adjective, verb = rng.choice(_ADJECTIVES), rng.choice(VERBS)[0]
        if rng.random() < 0.45:
            words = " ".join(rng.sample(common_words(), rng.choice((1, 2, 2, 3, 3, 4))))
            if held_out(words) == (split is not Split.TRAIN):
                return words
            continue
        place, person = made_up(rng, "place", split), made_up(rng, "person", split)
        words = rng.choice(
            (
                f"{adjective} {noun}", f"{noun} {other}", f"{noun} {place}", f"{person} {noun}", f"{noun}s", f"the {noun}",
                f"the {noun} {other}", f"the {adjective} {noun}", f"{noun} {other} {rng.randrange(1990, 2026)}",
                made_up(rng, rng.choice(("person", "thing", "place")), split), f"{person} {made_up(rng, 'person', split)}",
                f"how to {verb} a {noun}", f"{noun} and {other}", f"{noun} from last year", f"{adjective} {noun}s in {place}",
                f"the {noun} of {person}", f"my {noun}", f"my {adjective} {noun}", f"{noun} for the {other}", f"{noun} prices",
                f"a {noun} with a {other}", f"who {rng.choice(VERBS)[1]} the {noun}", f"{noun} near {place}", f"{verb} {noun}",
            )
        )  # fmt: skip
        if held_out(words) == (split is not Split.TRAIN):
            return words


def address(rng: random.Random, split: Split) -> str:
    """A web address; nothing is ever fetched from it."""
    while True:
        host = rng.choice(_SITES)
        if rng.random() < 0.6:
            name = made_up(rng, "thing", split).lower() if rng.random() < 0.5 else rng.choice(NOUNS)
            host = f"{name}.{rng.choice(('com', 'org', 'net', 'io', 'de', 'example', host))}"
        if rng.random() < 0.3:
            host = f"{rng.choice(('www', 'www', 'docs', 'news', 'en'))}.{host}"
        path = "/".join(rng.choice(NOUNS) for _ in range(rng.randrange(0, 3)))
        url = f"http{'s' if rng.random() < 0.85 else ''}://{host}" + (
            f"/{path}" if path or rng.random() < 0.5 else ""
        )
        if path and rng.random() < 0.3:
            url += rng.choice((".html", "?id=" + str(rng.randrange(1, 999)), "/" + str(rng.randrange(1, 99))))
        if held_out(url) == (split is not Split.TRAIN):
            return url


def personal_fact(rng: random.Random, split: Split) -> tuple[str, str, str]:
    """Something a person says about their own life.

    Returns:
        What it is about ("name"), the value, and which kind of sentence fits (see ``memory``):
        ``relative`` or ``own``.
    """
    if rng.random() < 0.5:
        return rng.choice(_RELATIVES), made_up(rng, "person", split), "relative"
    about = rng.choice(_PERSONAL)
    if about == "name":
        return about, made_up(rng, "person", split), "own"
    if about in ("home town",):
        return about, made_up(rng, "place", split), "own"
    if about in ("shoe size", "room number"):
        return about, str(rng.randrange(20, 400)), "own"
    if about == "birthday":
        months = ("January", "March", "April", "May", "June", "July", "August", "October", "December")
        return about, f"{rng.choice(months)} {rng.randrange(1, 29)}", "own"
    choices = {
        "favourite colour": ("red", "blue", "green", "yellow", "purple", "orange", "white", "black"),
        "favourite food": ("rice", "soup", "bread", "cheese", "fish", "apples", "honey"),
        "car": ("red", "blue", "old", "new", "small", "fast"),
        "job": ("baker", "nurse", "teacher", "driver", "painter", "farmer"),
    }[about]
    return about, rng.choice(choices), "own"
