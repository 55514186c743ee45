"""Training relations put together by chance: thousands of nouns and verbs, so that copying is what pays.

A few hundred fixed relations could be learned by heart; these cannot. Relations that are kept for
testing never come out, nor do their verbs in another build.
"""

from __future__ import annotations

import random
import re
from functools import cache

from llmos.foundry.tasks.base import split_words
from llmos.foundry.tasks.relations import NEW_NAMES, Relation, noun_relation, verb_relation
from llmos.foundry.tasks.topics import NOUNS

_PARTICIPLES = split_words(
    "cleaned opened closed moved fixed planted washed guarded visited praised trained invited hired "
    "managed planned measured mapped copied saved sailed followed helped carried covered counted "
    "checked carved crossed damaged delivered donated dropped dressed emptied entered escorted "
    "examined filmed filled finished grounded handled honoured hosted ignored joined judged labelled "
    "launched lifted listed loaded marked mended mixed named noticed ordered owned packed painted "
    "parked played polished posted printed protected pulled pushed raised recorded removed rented "
    "replaced reported rescued restored ruled scanned searched signed sorted started stopped studied "
    "supported tested touched toured traded turned used watched welcomed"
)
_QUALITIES = split_words(
    "old new first last second main big small lower upper outer inner spare local official secret "
    "usual early late northern southern summer winter daily public private red blue green hidden "
    "common central total average lowest highest"
)
#: Verbs (base form) that go with a number and a unit, a place, a time, or a thing.
_MEASURED = split_words(
    "hold seat weigh cost serve carry contain produce store show move pump burn earn lose save cover reach cross "
    "lift print bake teach treat lend feed take need count own include stretch receive spend collect rent"
)
_UNITS = split_words(
    "litres people grams kilograms metres kilometres coins euros dollars pounds hours minutes days weeks pages "
    "guests pupils tons cups boxes plates chairs rooms visitors books bottles tickets miles workers beds tables "
    "trees cows cars boats letters watts volts parts steps seats windows cards stamps patients passengers students "
    "soldiers players children barrels bags bricks acres feet inches gallons cents horses sheep machines"
)
_PLACED = split_words(
    "stop stand start end stay sleep wait work land arrive begin hang rest park hide swim camp dance sing train "
    "turn grow appear sit shop study lie live happen meet play practise perform return cross sail fly walk travel"
)
_AT = ("in", "in", "at", "near", "behind", "beside", "outside", "opposite")
_TIMED = split_words(
    "leave open close start end arrive begin stop return sail run play meet ring wake eat move depart finish "
    "rehearse rest land train gather perform vote pause restart deliver shut happen change fly"
)
_ACTIVE = split_words(
    "sell serve make collect teach produce need use carry bring store repair clean offer show love hate drink "
    "buy like contain want eat grow paint wear fear follow build bake lend keep study own hold deliver sing trade"
)
_OBJECTS = ("thing", "food", "food", "animal", "material", "colour")
_DONE = split_words(
    "made run owned led kept fed built written driven known taught sung cut held sold bought hidden drawn"
)
_LASTING = split_words(
    "cooked baked heated dried stored boiled cooled soaked smoked fried closed opened tested cleaned watched "
    "charged mixed pressed kept shown trained washed painted played repaired stirred warmed grilled frozen"
)
_SPANS = ("minutes", "minutes", "hours", "days", "weeks", "seconds", "months", "years")
_SIZES = (
    ("long", "metres"), ("high", "metres"), ("wide", "metres"), ("deep", "metres"), ("tall", "centimetres"),
    ("long", "kilometres"), ("thick", "millimetres"), ("old", "years"), ("old", "months"), ("heavy", "tons"),
    ("wide", "centimetres"), ("long", "pages"), ("deep", "feet"), ("far", "miles"),
)  # fmt: skip
_NAMED = split_words(
    "cat dog horse ship boat house book song wife husband son daughter cook inn street bridge team parrot"
)


def _third(verb: str) -> str:
    """The form after "it": "carries", "reaches", "holds"."""
    if verb.endswith("y") and verb[-2] not in "aeou":
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "sh", "ch", "x", "o")) else "s")


def _sentence(rng: random.Random) -> tuple[str, str, str]:
    """A statement, a question that it answers, and the kind of value."""
    build = rng.randrange(12)
    if build == 0:
        verb, unit = rng.choice(_MEASURED), rng.choice(_UNITS)
        return f"{{s}} {_third(verb)} {{v}} {unit}.", f"How many {unit} does {{s}} {verb}?", "amount"
    if build == 1:
        verb = rng.choice(_PLACED)
        return f"{{s}} {_third(verb)} {rng.choice(_AT)} {{v}}.", f"Where does {{s}} {verb}?", "place"
    if build == 2:
        verb, (before, kind) = rng.choice(_TIMED), rng.choice((("on", "day"), ("at", "hour"), ("in", "year")))
        wanted = {"day": "On which day", "hour": "At what time", "year": "In which year"}[kind]
        asked = rng.choice(("When", wanted))
        return f"{{s}} {_third(verb)} {before} {{v}}.", f"{asked} does {{s}} {verb}?", kind
    if build == 3:
        verb = rng.choice(_ACTIVE)
        return f"{{s}} {_third(verb)} {{v}}.", f"What does {{s}} {verb}?", rng.choice(_OBJECTS)
    if build == 4:
        done, is_was = rng.choice((*_PARTICIPLES, *_DONE)), rng.choice(("is", "was"))
        asked = rng.choice((f"By whom {is_was} {{s}} {done}?", f"Who {is_was} {{s}} {done} by?"))
        return f"{{s}} {is_was} {done} by {{v}}.", asked, "person"
    if build == 5:
        verb = rng.choice(_ACTIVE)
        return f"{{v}} {_third(verb)} {{s}}.", f"Who {_third(verb)} {{s}}?", "person"
    if build == 6:
        done, span, is_was = rng.choice(_LASTING), rng.choice(_SPANS), rng.choice(("is", "was"))
        return f"{{s}} {is_was} {done} for {{v}} {span}.", f"How long {is_was} {{s}} {done}?", "amount"
    if build == 7:
        size, unit = rng.choice(_SIZES)
        asked = rng.choice((f"How {size} is {{s}}?", f"How many {unit} {size} is {{s}}?"))
        return f"{{s}} is {{v}} {unit} {size}.", asked, "amount"
    if build == 8:
        noun = rng.choice((*_NAMED, *NOUNS))
        statement = rng.choice((f"The {noun} of {{s}} is called {{v}}.", f"{{s}}'s {noun} is called {{v}}."))
        asked = rng.choice((f"What is the {noun} of {{s}} called?", f"What is {{s}}'s {noun} called?"))
        return statement, asked, "thing"
    if build == 9:
        noun = rng.choice((*_UNITS, *(n + "s" for n in NOUNS)))
        return f"{{s}} has {{v}} {noun}.", f"How many {noun} does {{s}} have?", "amount"
    if build == 10:
        done, kind = rng.choice((*_PARTICIPLES, *_DONE)), rng.choice(("year", "day", "place"))
        before = {"year": "in", "day": "on", "place": rng.choice(_AT)}[kind]
        wanted = "Where" if kind == "place" else "When"
        is_was = rng.choice(("is", "was"))
        return f"{{s}} {is_was} {done} {before} {{v}}.", f"{wanted} {is_was} {{s}} {done}?", kind
    kind, asked = rng.choice(
        (("colour", "What colour is {s}?"), ("job", "What is {s}?"), ("day", "On which day is {s}?"))
    )
    return {"colour": "{s} is {v}.", "job": "{s} is a {v}.", "day": "{s} is on {v}."}[kind], asked, kind


@cache
def _kept() -> frozenset[str]:
    """Words of the statements that are kept for testing, but for those that every sentence has."""
    words = {w for name in NEW_NAMES for w in re.findall(r"[a-z]+", re.sub(r"\{\w\}", "", name)) if "{" in name}
    return frozenset(
        words - {"is", "was", "in", "on", "at", "by", "for", "of", "has", "a", "the", "years", "year"}
    )


def improvised(rng: random.Random) -> Relation:
    """A training relation put together by chance: half of them nouns, half sentences with a verb."""
    while True:
        if rng.random() < 0.5:
            statement, asked, kind = _sentence(rng)
            # Two statements that answer one question count as one relation, or "absent" would be untrue.
            found = verb_relation(statement, asked, kind, name=asked)
            if not _kept() & set(re.findall(r"[a-z]+", f"{statement} {asked}")):
                return found
            continue
        first = rng.choice(_QUALITIES if rng.random() < 0.5 else NOUNS)
        noun = f"{first} {rng.choice(NOUNS)}" if rng.random() < 0.75 else rng.choice(NOUNS)
        kinds = (
            "person",
            "place",
            "thing",
            "number",
            "number",
            "year",
            "colour",
            "material",
            "day",
            "hour",
            "amount",
        )
        if noun not in NEW_NAMES:
            return noun_relation(noun, rng.choice(kinds))
