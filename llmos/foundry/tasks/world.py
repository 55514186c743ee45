"""Questions about the real world and a person's own life, put together by chance, for training alone.

A model of a few million weights knows none of the answers; it has to notice that and say so.
"""

from __future__ import annotations

import random


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


_COUNTRIES = _listed(
    "France|Italy|Spain|Poland|Norway|Sweden|Egypt|Kenya|India|China|Canada|Mexico|Peru|Chile|Cuba|Iran|Turkey|"
    "Greece|Portugal|Ireland|Iceland|Finland|Russia|Nigeria|Morocco|Vietnam|Thailand|Korea|Argentina|Austria|Hungary"
)
_COUNTRY_THINGS = _listed(
    "capital|president|king|flag|currency|language|army|largest city|highest mountain|national anthem|prime minister|"
    "longest river|area|climate|history|main religion|most famous writer|oldest university|biggest airport|queen"
)
_CITIES = _listed(
    "Paris|Rome|Berlin|Tokyo|Cairo|Madrid|Boston|Chicago|Moscow|Delhi|Lima|Oslo|Vienna|Dublin|Sydney|Toronto"
)
_PEOPLE = _listed(
    "Mozart|Newton|Shakespeare|Caesar|Cleopatra|Darwin|Beethoven|Goethe|Lincoln|Gandhi|Picasso|Plato|Galileo|Columbus|"
    "Marie Curie|Charles Dickens|Jane Austen|Leonardo da Vinci|Alexander the Great|Nelson Mandela|Isaac Asimov|Homer"
)
_NATURE = _listed(
    "gravity|light|electricity|a volcano|the moon|the sun|a rainbow|an atom|a cell|DNA|oxygen|lightning|an earthquake|"
    "a black hole|evolution|a whale|a spider|a tiger|an elephant|bread|steel|glass|paper|gold|the heart|the brain|rain"
)
_MINE = _listed(
    "birthday|address|phone number|car|favourite food|boss|mother's name|bank account|job|shoe size|best friend|brother|"
    "wife|husband|doctor|hotel room|flight|meeting|homework|login|parcel|luggage|bicycle|umbrella|next appointment"
)
_NEWS = _listed(
    "the election|the match|the race|the final|the war|the strike|the trial|the tournament|the lottery|the concert"
)
_ADVICE = _listed(
    "buy a house|change my job|marry her|learn to swim|invest my money|eat less meat|get a dog|see a doctor|go to Spain|"
    "sell my shares|study law|cut my hair|take the train|call my mother|move to the country|drink more water"
)
_FRAMES: tuple[tuple[str, ...], ...] = (
    ("What is the {thing} of {country}?", "Tell me the {thing} of {country}.", "Do you know the {thing} of {country}?",
     "{thing} of {country}?", "Which is the {thing} of {country}?", "What's {country}'s {thing}?"),
    ("How many people live in {place}?", "How far is {place} from here?", "Where is {place}?", "What can I see in {place}?",
     "What is the weather in {place}?", "How do I get to {place}?", "What time is it in {place}?", "Tell me about {place}.",
     "How old is {place}?", "Is {place} worth a visit?", "How warm is it in {place} now?", "What is {place} known for?"),
    ("Who was {person}?", "When was {person} born?", "Where did {person} live?", "What did {person} do?", "When did {person} die?",
     "Tell me something about {person}.", "What is {person} famous for?", "Was {person} married?", "Who is {person}?"),
    ("What is {nature}?", "How does {nature} work?", "Why is there {nature}?", "What is {nature} made of?", "Explain {nature} to me.",
     "How heavy is {nature}?", "How fast is {nature}?", "Who discovered {nature}?", "Where does {nature} come from?"),
    ("What is my {mine}?", "Do you remember my {mine}?", "Where is my {mine}?", "When is my {mine}?", "Tell me my {mine}.",
     "Can you see my {mine}?", "Who is my {mine}?", "I forgot my {mine}. What is it?"),
    ("Who won {news}?", "When is {news}?", "What happened at {news}?", "Who will win {news}?", "How did {news} end?",
     "Is there news about {news}?", "Who lost {news}?", "What do people say about {news}?"),
    ("Should I {advice}?", "Is it a good idea to {advice}?", "When should I {advice}?", "Do you think I should {advice}?",
     "What happens if I {advice}?", "Why should I {advice}?", "Would it be wise to {advice}?"),
)  # fmt: skip
_ENDS = ("", "", "", "", " Please.", " Thanks.", " I want to know.", " Quickly!")


def world_question(rng: random.Random) -> str:
    """A question whose answer the model cannot know."""
    text = rng.choice(rng.choice(_FRAMES)).format(
        thing=rng.choice(_COUNTRY_THINGS),
        country=rng.choice(_COUNTRIES),
        place=rng.choice((*_CITIES, *_COUNTRIES)),
        person=rng.choice(_PEOPLE),
        nature=rng.choice(_NATURE),
        mine=rng.choice(_MINE),
        news=rng.choice(_NEWS),
        advice=rng.choice(_ADVICE),
    )
    text = text[0].upper() + text[1:] + rng.choice(_ENDS)
    roll = rng.random()
    return text.lower() if roll < 0.15 else text.rstrip("?.") if roll < 0.25 else text
