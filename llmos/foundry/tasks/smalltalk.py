"""Greetings, thanks and other small change of a conversation."""

from __future__ import annotations

import random

from llmos.foundry.tasks.base import Conversation, Split, assistant, phrases, user
from llmos.foundry.tasks.wordings import MORE_SMALL_TALK

HELLO = "Hello! I am LLMOS, a small language model on this machine. Ask me what I can do."
_SMALL: tuple[str, ...] = (
    (
        "Hello|Hi|Hey|Hello!|Hi!|Hey!|hello|hi|hey|Hi there|Hello there!|Good morning|Good evening|Good day|Good afternoon!|"
        "Hey there|hiya|Greetings|Howdy|hello llmos|Hi LLMOS|Hello, LLMOS!|Hey LLMOS|good morning!|Yo|Hallo|hello?|Hi :)|"
        "Is anybody there?|Anyone there?|Hello, who is there?|Nice to meet you|Hello my friend|Hi, how is it going|hey hey|"
        "hello hello|Hi again|Hello again!|heya|Salut|Moin|Welcome!|Hello computer|Hi bot|Hello world|hi!!|Hello."
    ),
    (
        "How are you?|How are you doing?|how are you|How do you do?|How is it going?|Are you well?|How's it going?|"
        "how r u|What's up?|How are things?|Hello, how are you?|Hi! How are you?|Hey, how are you today?|Are you okay?|"
        "How have you been?|How do you feel today?|you ok?|sup|What is up?|How is your day?|all good?|Everything fine?"
    ),
    (
        "Thank you|Thanks|Thanks!|Thank you!|thanks|thx|Thank you very much|Thanks a lot|Many thanks|Great, thanks|"
        "thank you so much|That helps, thank you|Thanks for your help|ty|Cheers|Perfect, thank you.|Okay, thanks|"
        "Very kind of you|Much appreciated|I thank you|Wonderful, thanks|Thanks, that was helpful"
    ),
    (
        "Bye|Goodbye|bye|Good bye!|See you|See you later|Bye bye|Good night|I have to go|Until tomorrow|Talk to you later|"
        "I am done|That is all|That's all for now|cu|Farewell|So long|I'm leaving|See you tomorrow!|Bye for now|ciao|Good night!"
    ),
    (
        "Good|Great|OK|Okay|ok|Nice|Cool|Good job|Well done|Wow|Very good|I see|Fine|Alright|Super|Excellent!|"
        "That is good|You are great|I like you|Good answer|Right|Yes, that is right|Interesting|Awesome|Perfect|Yes"
    ),
    (
        "You are wrong|That is wrong|That's not right|Wrong|No, that is wrong|That is not correct|You made a mistake|"
        "This is wrong|That was wrong|No|Nope|Incorrect|Your answer is wrong|Bad answer|that's false|I don't think so|"
        "Are you sure?|Really?|That can't be right|This makes no sense|You don't understand me|That is nonsense"
    ),
    (
        "Sorry|I am sorry|My mistake|Oops|Sorry about that|Never mind|Forget it|Excuse me|Pardon|nevermind|"
        "I made a mistake|Don't worry about it|Ignore that|sorry!|I take it back"
    ),
    (
        "Tell me a joke|Do you know a joke?|Make me laugh|Say something funny|tell me a joke please|A joke, please|"
        "Can you tell a joke?|Be funny|I want to hear a joke|Know any jokes?|joke|Got a joke?|Tell a joke.|Something funny, please"
    ),
    (
        "You are stupid|You are useless|You are dumb|I hate you|You are bad|You suck|Idiot|Stupid machine|You're an idiot|"
        "you are so dumb|What a stupid answer|You know nothing|Worst AI ever|You are terrible|shut up|You're no good"
    ),
    (
        "asdf|qwerty|...|?|??|test|Testing|test test|blah blah|hmm|hm|lol|haha|aaaa|xyz|123 test|foo|foo bar|Hmm.|!!!|um|.|abc"
    ),
)
_ANSWERS = (
    HELLO,
    "I am running well, thank you. What can I do for you?",
    "You're welcome!",
    "Goodbye! Your conversation is saved on this machine.",
    "Good. What else can I do for you?",
    "You may be right: I am small and make mistakes. Please ask again in other words.",
    "No problem. What can I do for you?",
    "Why did the token cross the window? To get to the next page.",
    "I am sorry that I was no help. A bigger model may do better: see llmos models.",
    "I did not understand that. Please ask in a short, plain sentence, or ask what I can do.",
)
#: Name of each kind of small talk, in order.
KINDS = ("greeting", "how_are_you", "thanks", "bye", "praise", "doubt", "sorry", "joke", "insult", "unclear")


def small_talk(rng: random.Random, split: Split) -> Conversation:
    """One remark and its answer; greetings are the most frequent."""
    number = 0 if rng.random() < 0.3 else rng.randrange(len(_ANSWERS))
    said = rng.choice(phrases(_SMALL[number].split("|"), split))
    if split is Split.TRAIN and rng.random() < 0.55:
        said = rng.choice(MORE_SMALL_TALK[number])
        said = said.lower() if rng.random() < 0.3 else said
    if split is Split.TRAIN and number < 5 and said[-1].isalpha():
        said += rng.choice(("", "", "", ".", "!"))
    reply = _ANSWERS[number]
    return Conversation(
        [user(said), assistant(reply)], kind="smalltalk", answer=reply, options={"intent": KINDS[number]}
    )
