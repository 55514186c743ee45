"""Questions to sentences that somebody wrote: put together by rules from the sentence's own words.

Statements of a template can be found by the template alone; a sentence of a book cannot. The rules
turn a statement into a question (Heilman and Smith, "Good Question! Statistical Ranking for Question
Generation", 2010, in its simplest form): subject, first verb and the part that is asked for. Where no
rule applies, some of the sentence's rarer words make up a question. Not every question is good
English; what they teach is to find the sentence that shares the question's words.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from llmos.foundry.tasks.base import split_words
from llmos.foundry.tasks.topics import VERBS

_AUX = split_words("is are was were can could will would should must may might has have had")
#: Past forms that no rule makes, with their base forms.
_IRREGULAR = dict(
    pair.split("/")
    for pair in split_words(
        "went/go came/come took/take gave/give found/find made/make kept/keep held/hold led/lead left/leave "
        "lost/lose met/meet paid/pay ran/run said/say sat/sit saw/see sold/sell sent/send spoke/speak spent/spend "
        "stood/stand told/tell thought/think wrote/write began/begin brought/bring built/build bought/buy "
        "caught/catch chose/choose drew/draw drank/drink drove/drive ate/eat fell/fall felt/feel flew/fly "
        "forgot/forget got/get grew/grow heard/hear hid/hide knew/know lay/lie rode/ride rose/rise sang/sing "
        "slept/sleep swam/swim taught/teach threw/throw understood/understand wore/wear won/win became/become "
        "broke/break fought/fight lit/light meant/mean"
    )
)
_PAST = {past: base for base, past in VERBS} | _IRREGULAR
_OPENERS = frozenset(
    split_words(
        "it he she they we i you this that these those there what who when where which if and but so because as "
        "then here now in on at after before by for from with to of while although though however thus yet not no "
        "all some many most one such each every both another other even how why let perhaps or nor once since "
        "until during among"
    )
)
_PRONOUNS = frozenset(("he", "she", "it", "they", "we", "i"))
_ARTICLES = ("the", "a", "an", "our", "my", "his", "her", "their", "its", "your")
_QUOTED = re.compile("[\"“”;:()\\[\\]`*_{}<>|=]| '|--|\\?.")
_LED = re.compile(
    r"((?:In|On|At|After|Before|During|By|Since|For|Every|Last|Near|Under|Behind) [^,]{2,40}), (?=[A-Z\w])"
)
_STOP = _OPENERS | frozenset(
    split_words(
        "the a an is are was were be been being has have had do does did can could will would should must may "
        "might shall into out up down over under again than very more much just only also its his her their our "
        "your my me him them us against across through behind under near between within without around along "
        "toward towards above below instead about upon any own same too said any came went well being like made "
        "make long little good great never"
    )
)
_NUMBER = r"(?:\d[\d.,:]*|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|hundred)"
_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_DAY = r"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_WHEN = re.compile(
    rf"\b(?:in|on|at|since|until|before|after|during|by|from) (?:the )?(?:\d{{4}}|\d{{1,2}} {_MONTH}|{_MONTH}(?: \d+)?|{_DAY}|"
    r"(?:early |late |next |same |whole )?(?:morning|night|evening|afternoon|noon|midnight|summer|winter|spring|autumn|year|week|day|war)s?|"
    r"\w+ century|\d+ o'clock|\d{1,2}:\d\d)\b|\b(?:every|last|next|each) (?:day|morning|night|year|week|month|summer|winter|evening)\b"
)
_WHERE = re.compile(
    r"\b(?:in|at|on|near|under|behind|beside|into|between|above|below|along|through|across|over|around) "
    r"(?:(?:the|a|an|his|her|their|its|our) (?:[a-z]+ ){0,2}[a-z]+|[A-Z][a-z]+(?: [A-Z][a-z]+)*)$"
)
_MANY = re.compile(rf"\b({_NUMBER}) ((?:[a-z]+ )?[a-z]+s)\b")
_BY = re.compile(r" by ((?:the |a |an )?(?:[\w'-]+ ){0,2}[\w'-]+)$")
_BECAUSE = re.compile(r",? (?:because|since|so that|in order to) .+$")
_PLACED = re.compile(r" (?:in|on|at|with|for|from|to|into|of|about|by|after|before|under|near) ")
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*|\d[\d.,:]*")
_NOUN_PHRASE = re.compile(
    r"\b(the|a|an|his|her|their|its|our|my|your|The|A|An|Our|My|His|Her|Their|\d+) ((?:[a-z-]+ ?){1,4})"
)
#: Words of which the one is asked with the other, both ways.
_LIKE = {
    one: other
    for pair in split_words(
        "start/begin big/large buy/purchase cost/price fix/repair end/finish shut/close small/little "
        "quick/fast ill/sick kids/children picture/photo car/vehicle trip/journey job/work home/house "
        "shop/store stone/rock road/street sea/ocean speak/talk allow/permit need/require help/assist "
        "get/receive show/display keep/store choose/pick look/appear happy/glad afraid/scared near/close "
        "money/cash doctor/physician boat/ship woman/lady answer/reply lamp/light garden/yard forest/wood "
        "meal/dinner rule/law town/city king/ruler maker/manufacturer"
    )
    for one, other in (tuple(pair.split("/")), tuple(reversed(pair.split("/"))))
}
_ABOUT = (
    "What about {p}?", "Tell me about {p}.", "What do the pages say about {p}?", "What is said about {p}?", "{p}?", "{p}",
    "What do my notes say about {p}?", "Is there something about {p}?", "I am looking for {p}.", "Where do I read about {p}?",
    "What was it with {p}?", "What do you know about {p}?", "And {p}?", "What happens with {p}?", "How is it with {p}?",
)  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """A sentence in three parts.

    Attributes:
        subject: its first words, with a small letter where no name begins it.
        verb: the first verb, as it stands.
        base: the verb's base form; empty for an auxiliary or a form of "to be".
        rest: what follows, without the full stop.
    """

    subject: str
    verb: str
    base: str
    rest: str


def content_words(text: str) -> list[str]:
    """Words of a text that are not to be found in every text, in order, with small letters."""
    return [w.lower() for w in _WORD.findall(text) if w.lower() not in _STOP and (len(w) > 3 or w[0].isdigit())]


def _is_name(word: str) -> bool:
    """Whether the first word of a sentence is likely a name: nothing else begins one without an article so often."""
    return word[0].isupper() and word.isalpha() and word.lower() not in _STOP and not word.endswith("s")


def parse(sentence: str) -> Statement | None:
    """Subject, verb and rest of a plain statement, or None."""
    if _QUOTED.search(sentence):
        return None
    text, moved = sentence.rstrip(".!"), ""
    if match := _LED.match(text):  # "In 1970, Venera 7 became ..." is parsed as "Venera 7 became ... in 1970"
        moved = f" {match[1][0].lower()}{match[1][1:]}"
        text = text[match.end() :]
        text = text[0].lower() + text[1:] if text.split()[0] in ("The", "A", "An", *_PRONOUNS) else text
    words = text.split()
    if len(words) < 4 or words[0].lower().strip(",'\"") in _OPENERS - _PRONOUNS:
        return None
    if words[0].lower() in _BASES and words[0][0].isupper():  # an order: "Fill the tank with water."
        return Statement("I", "should", "", f"{words[0].lower()} {' '.join(words[1:])}{moved}")
    for place in range(1, min(9, len(words) - 1)):
        word = words[place]
        if words[place - 1].endswith((",", ";", ":")):
            return None
        base = ""
        if word in _PAST:
            base = _PAST[word]
        elif word.endswith("ed") and len(word) > 4 and word.islower():
            stem = word[:-2]
            base = stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "ls" else stem
            if stem.endswith("i"):
                base = stem[:-1] + "y"
            elif re.search(
                r"(?:[^aeiou][aeiou](?:s|v|r|c|d|k|p|z|g|n)|[^aeiou]l|[scgv]|at|ar|ut)$", stem
            ) and not base.endswith(("er", "en", "on", "w", "ss", "rn")):
                base = stem + "e" if base == stem else base
        elif (
            (place > 1 or words[0].lower() in _PRONOUNS or _is_name(words[0]))
            and word.endswith("s")
            and (word[:-1] in _BASES or word[:-2] in _BASES)
        ):
            base = word[:-1] if word[:-1] in _BASES else word[:-2]
        elif word not in _AUX:
            continue
        subject = words[:place]
        if not any(w.lower() not in _STOP for w in subject) and not (
            place == 1 and subject[0].lower() in _PRONOUNS
        ):
            return None
        first = subject[0]
        if first.lower() in (*_ARTICLES, *_PRONOUNS) and first != "I":
            subject[0] = first.lower()
        rest = " ".join(words[place + 1 :])
        # A time in front belongs to the first part of what follows.
        head, comma, tail = rest.partition(",")
        return Statement(" ".join(subject), word, base, f"{head}{moved}{comma}{tail}")
    return None


_BASES = frozenset(base for base, _ in VERBS) | frozenset(_IRREGULAR.values()) | frozenset(
    ["need", "use", "want", "work", "live", "move", "stop", "turn", "call", "start", "show", "play", "help", "like", "look", "ask", "seem", "add", "allow", "cause", "offer", "open", "include", "require", "provide", "remain", "contain", "follow", "carry", "produce", "cover", "reach", "cost", "serve", "run", "last", "happen", "occur", "belong", "depend"]
)  # fmt: skip


def _asks(wanted: str, said: Statement, before: str, after: str = "") -> str:
    """A question word before a statement: "Where was the boat built?"; ``before`` is what of the rest is kept."""
    if said.base:
        helper = "does" if said.verb.endswith("s") and said.verb not in _PAST else "did"
        verb = f"{helper} {said.subject} {said.base}"
    elif said.verb in ("has", "have", "had") and not re.match(r"(?:been|\w+ed|become|made|not)\b", before):
        helper = {"has": "does", "have": "do", "had": "did"}[said.verb]
        verb = f"{helper} {said.subject} have"
    else:
        verb = f"{said.verb} {said.subject}"
    return " ".join(f"{wanted} {verb} {before} {after}".split()).rstrip(",") + "?"


def _by_rule(rng: random.Random, said: Statement) -> list[str]:
    """Every question that a rule makes of a statement."""
    rest, found = said.rest, []
    bare = rest.split(",")[0]
    name = (
        said.subject[0].isupper()
        or said.subject in ("he", "she")
        or re.search(
            r"\b(?:man|woman|boy|girl|king|queen|mother|father|teacher|doctor|people|president|children|farmer|wife|son|daughter)$",
            said.subject,
        )
    )
    short = " ".join(bare.split()[: rng.randrange(3, 10)])
    if said.verb not in ("were", "are", "have") and said.subject != "I":
        found.append(f"{'Who' if name else 'What'} {said.verb} {short}?")
    if match := _WHEN.search(rest):
        found += [_asks("When", said, rest[: match.start()].split(",")[0])] * 2
    if match := _WHERE.search(bare):
        found += [_asks("Where", said, bare[: match.start()])] * 2
    if match := _MANY.search(rest):
        wanted = rng.choice((f"How many {match[2]}", f"How many {match[2]}", f"What number of {match[2]}"))
        left = rest[: match.start()] if rng.random() < 0.5 else f"{rest[: match.start()]}{rest[match.end() :]}"
        found += [_asks(wanted, said, left.split(",")[0])] * 3
    if (match := _BY.search(bare)) and not said.base:
        found.append(_asks(rng.choice(("By whom", "By what", "Who")), said, bare[: match.start()]))
    if match := _BECAUSE.search(rest):
        found.append(_asks("Why", said, rest[: match.start()]))
    if said.verb in ("is", "are", "was", "were") and len(bare.split()) < 12:
        found.append(_asks("Who" if said.subject[0].isupper() and rng.random() < 0.3 else "What", said, ""))
    elif parts := _PLACED.split(f" {bare} ", maxsplit=1):
        cut = bare[len(parts[0].strip()) :].strip() if len(parts) > 1 and rng.random() < 0.6 else ""
        wanted = "What" if said.base else f"What {rng.choice(('', '', 'exactly '))}".strip()
        if said.base:
            found.append(_asks(wanted, said, cut))
        elif said.verb not in ("has", "have", "had"):
            verb = bare.split()[:1]
            found.append(_asks(wanted, said, f"{' '.join(verb)} {cut}" if verb else "do"))
    return found


def _phrases(sentence: str) -> list[str]:
    """What a sentence speaks of: "the white package", names, and numbers with what they count."""
    found = []
    for match in _NOUN_PHRASE.finditer(sentence):
        words: list[str] = []
        for word in match[2].split():
            if word.lower() in _STOP or word in _PAST or len(words) == 3:
                break
            words.append(word)
        if words and len(words[-1]) > 2:
            found.append(f"{match[1].lower()} {' '.join(words)}")
    later = sentence.partition(" ")[2]
    found += re.findall(r"(?<![.!?] )\b[A-Z][a-z]{2,}(?: [A-Z][a-z]+)*", later)
    return found


def _by_words(rng: random.Random, sentence: str) -> str:
    """A question about one or two things of the sentence, with a word more from it now and then."""
    named = _phrases(sentence)
    content = [w for w in _WORD.findall(sentence)[1:] if w.islower() and w not in _STOP and len(w) > 3]
    if not named:
        if len(content) < 2:
            return ""
        named = [" ".join(rng.sample(content, 2))]
    first = rng.choice(named)
    roll = rng.random()
    if roll < 0.35:
        return rng.choice(_ABOUT).format(p=first)
    second = rng.choice(named)
    if roll < 0.6 and second != first:
        joint = rng.choice(("and", "of", "in", "with", "for", "from", "on", "at"))
        return rng.choice(_ABOUT).format(p=f"{first} {joint} {second}")
    helper = rng.choice(("is", "was", "does", "did", "do", "are", "can", "should", "has"))
    more = rng.choice(content) if content and rng.random() < 0.7 else ""
    tail = (
        f" {rng.choice(('in', 'of', 'with', 'for', 'on', 'at', 'by'))} {second}"
        if second != first and rng.random() < 0.4
        else ""
    )
    return f"{_wh(rng, sentence)} {helper} {first}{' ' + more if more and more not in first else ''}{tail}?"


def _wh(rng: random.Random, sentence: str) -> str:
    """A question word that fits something in the sentence."""
    fits = ["What", "Which", "How"]
    if match := _MANY.search(sentence):
        fits += [f"How many {match[2]}", "How many", "How much", "How long"] * 2
    elif re.search(r"\d", sentence):
        fits += ["Which number", "How much", "What"] * 2
    if _WHEN.search(sentence):
        fits += ["When", "When", "On which day"]
    if _WHERE.search(sentence.rstrip(".!")):
        fits += ["Where", "Where"]
    if re.search(r" [A-Z][a-z]+", sentence):
        fits += ["Who", "Who", "Where"]
    return rng.choice(fits)


def _reworded(rng: random.Random, question: str) -> str:
    """The question with a word exchanged or in another number, now and then."""

    def other(match: re.Match[str]) -> str:
        word = match[0]
        if word.lower() in _STOP or rng.random() > 0.12:
            return word
        if word in _LIKE:
            return _LIKE[word]
        if len(word) > 4 and word.islower():
            return word[:-1] if word.endswith("s") and not word.endswith("ss") else f"{word}s"
        return word

    return re.sub(r"[A-Za-z]+", other, question)


def question(rng: random.Random, sentence: str) -> str:
    """A question that the sentence answers, or an empty text where none could be made."""
    said = parse(sentence)
    if said is None and rng.random() < 0.6:  # such sentences make the poorer questions
        return ""
    made = _by_rule(rng, said) if said else []
    asked = rng.choice(made) if made and rng.random() < 0.8 else _by_words(rng, sentence)
    if not asked or len(content_words(asked)) < 1 or len(asked) > 160:
        return ""
    asked = asked[0].upper() + asked[1:]
    if rng.random() < 0.4:
        asked = _reworded(rng, asked)
    return asked
