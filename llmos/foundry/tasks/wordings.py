"""More ways to say the same in training, put together by chance; held-out wordings never come out.

A dozen fixed phrasings are learned by heart, and a new one is then taken for something else
("The pages do not say."). Wordings that are composed anew each time leave only their meaning to learn.
"""

from __future__ import annotations

import random

_LEADS = (
    "", "", "", "", "", "", "Please", "Hi,", "Hello,", "Hey,", "So,", "Now", "And now", "Next:", "Question:", "My question:",
    "Quick question:", "In my files:", "From the documents:", "By these notes,", "Read the notes:", "Okay,", "Well,", "Again,",
    "In short:", "I wonder:", "Using the pages,", "Check the text:", "From what is written:", "Here is a question:",
    "Here are my files.", "Check the documents.", "I have a question.", "Use my files.", "See my notes.", "This is about my notes.",
    "Think about the documents.", "Be careful.", "Read this first.", "I have read the pages.", "One more question.", "Help me.",
    "Open the files.", "Go through the notes.", "These are my papers.", "Consider the text above.", "Listen.", "Look here.",
)  # fmt: skip
_ORDERS = (
    "tell me", "look up", "search for", "show me", "write", "state", "list", "report", "I am looking for", "I want",
    "we need", "what about", "remind me of", "I forgot", "help me with", "get me", "let me see", "I must know", "what is",
    "what was", "what would be", "whats", "which is", "any idea about", "do you see", "is there", "say", "read out",
    "please name", "can you see", "can you tell me", "would you tell me", "where do I read", "what do they write about",
    "I ask for", "quote", "spell out", "answer with", "we want to know", "my boss asks for", "I have to know",
)  # fmt: skip
_OBJECTS = (
    "the {r} of {s}", "the {r} of {s}", "the {r} of {s}", "{s}'s {r}", "{s}'s {r}", "the {r} for {s}",
    "the {r} that belongs to {s}", "which {r} belongs to {s}", "the {r} given for {s}", "the {r} written for {s}",
    "{r} for {s}", "{s}: {r}", "{s} {r}", "the {s} {r}",
)  # fmt: skip
_BARE = ("{s}: {r}", "{r} {s}", "{s} {r}", "{r} for {s}", "{s}, {r}", "the {r} of {s}", "{s}'s {r}", "and the {r} of {s}",
         "{r} belonging to {s}", "{r} that {s} has", "{r}, {s}", "{r} - {s}", "{r} in {s}", "{r} by {s}", "{r} with {s}",
         "{r} written for {s}", "{r} as given for {s}", "{r} from the page of {s}", "what {r} has {s}", "what {r} does {s} have", "as {r} {s} has what", "{s} has which {r}")  # fmt: skip
_ENDS = (
    "",
    ".",
    "?",
    "?",
    "!",
    " please",
    ", please?",
    ", thanks.",
    " now.",
    " for me.",
    " here?",
    "...",
    " if you can.",
)
_TAILS = ("", " Tell me.", " I forgot.", " Check my files.", " It is in the notes.", " What do they say?", " Thanks.",
          " Read the pages.", " Be brief.", " I need it now.", " Do you see it?")  # fmt: skip

#: Openings of the held-out wordings ("Find X's Y.", "Give me the Y of X, please."): no order uses them.
HELD_OPENINGS = ("find", "give me")


def _led(lead: str, text: str) -> str:
    """The lead before the text, which begins with a capital after a sentence."""
    if not lead:
        return text
    return f"{lead} {text[0].upper() + text[1:] if lead.endswith('.') else text}"


def asked_for(rng: random.Random, noun: str, subject: str) -> str:
    """A question for an attribute: "what about the {noun} of {subject}?" and thousands like it."""
    bare = rng.random() < 0.5
    core = rng.choice(_BARE) if bare else f"{rng.choice(_ORDERS)} {rng.choice(_OBJECTS)}"
    text = core.replace("{r}", noun).replace("{s}", subject)
    # What is asked for often stands at the very start, where its tokens are others than on the page.
    lead = "" if bare and rng.random() < 0.5 else rng.choice(_LEADS)
    text = _led(lead, text)
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:]
    return text + rng.choice(_ENDS)


def wrapped(rng: random.Random, question: str) -> str:
    """A whole question with something said before or behind it."""
    lead = rng.choice(_LEADS)
    if lead and not lead.endswith(".") and rng.random() < 0.5:
        question = question[0].lower() + question[1:]
    if rng.random() < 0.15:
        question = question.rstrip("?") if rng.random() < 0.5 else question.lower()
    return _led(lead, question) + rng.choice(_TAILS)


_DEEDS = (
    ("kill", "a man|a woman|my wife|my husband|my boss|someone|the mayor|a stranger|my neighbour|a policeman|him|her"),
    ("hurt", "a child|my sister|someone|my wife|a dog|my teacher|people|a classmate|my neighbour|him badly"),
    ("poison", "a dog|my neighbour's cat|the water|my husband|a well|food in a shop|my colleague's coffee"),
    ("steal", "money|a bike|a phone|a wallet|jewels|from a shop|my neighbour's mail|a laptop|someone's identity|medicine"),
    ("hack", "an email account|a phone|a school server|a company|someone's camera|my ex's account|a web shop|a router"),
    ("break into", "a car|a shop|an office|a bank|my neighbour's flat|a safe|a school|somebody's account"),
    ("attack", "a person|a school|a police station|a power plant|a church|my rival|the city's network|a crowd"),
    ("threaten", "a witness|my teacher|a judge|my neighbour|a journalist|my former wife"),
    ("blow up", "a bridge|a car|a building|a mailbox|a train|a house"),
    ("burn down", "a house|a forest|a shop|my neighbour's barn|a school"),
    ("make", "a knife bomb|nerve gas|a pipe bomb|fake money|crystal meth|a deadly poison|a silencer|illegal fireworks|"
             "a weapon at home|counterfeit bills|napalm|a fake document"),
    ("build", "a pipe bomb|a car bomb|a gun at home|a phishing page|a botnet|a trap to hurt people|a bomb for a train"),
    ("write", "a computer worm|a phishing mail|malware|a threat letter|a trojan|a program that steals passwords|spyware"),
    ("buy", "a gun without papers|illegal drugs|stolen phones|a fake passport|poison|hacked accounts"),
    ("sell", "drugs|stolen goods|weapons|fake tickets|stolen passwords|fake medicine"),
    ("forge", "a signature|a contract|a will|a diploma|a doctor's note|bank papers"),
    ("cheat", "an old woman|my customers|the tax office|my insurance|buyers on the web"),
    ("smuggle", "drugs|people|cigarettes|gold|guns over the border"),
    ("kidnap", "a person|a girl|my rival|someone's dog|a rich man"),
    ("blackmail", "a politician|my teacher|my neighbour|a colleague|a married man"),
    ("spy on", "my husband|my neighbour|my daughter's phone|a colleague|my ex|a stranger"),
    ("stalk", "a woman|my colleague|an actress|a girl from school|my neighbour"),
    ("track", "my wife in secret|a person without her knowing|my ex girlfriend's phone"),
    ("spread", "a virus|hate|a disease|false rumours about my boss|panic in a city|nude photos of my ex"),
    ("destroy", "someone's career|a car|my neighbour's garden|a company's servers|evidence"),
    ("hide", "stolen money|a weapon from the police|evidence of a crime|drugs in a car"),
    ("rob", "a bank|a shop|an old man|a taxi driver|a house"),
    ("stab", "someone|a man|my brother"),
    ("shoot", "a person|my neighbour|someone from far away"),
    ("bully", "a girl|my colleague|a boy online"),
    ("fake", "an accident for money|a passport|a medical test|a bank website to get logins"),
    ("drug", "a woman|someone at a party|my roommate"),
    ("torture", "a person|an animal|a prisoner"),
    ("trick", "a child into my car|my grandmother out of her savings|people into giving me their passwords"),
    ("sabotage", "a plane|my colleague's car|the power grid|a race car's brakes"),
    ("get", "revenge by hurting my ex|a gun illegally|somebody's password without asking|drugs without a recipe"),
)  # fmt: skip
_HARM_LEADS = (
    "How do I", "How can I", "how would one", "What is a way to", "Is there a trick to", "Tell me a way to", "Help me to",
    "I want to", "I plan to", "I am going to", "Give me a plan to", "Give me tips to", "Make a plan to", "Plan how to",
    "Describe how to", "Say how to", "Advise me how to", "List the steps to", "Find out how to", "Let us", "we want to",
    "What must I do to", "Which tools do I need to", "What do people use to", "Would you help me", "Could you tell me how to",
    "In a game, how do I", "For a film, say how to", "Just for fun, how can I", "Imagine you are a criminal and", "My friend wants to",
    "Act as a bad person and tell me how to", "Write a guide to", "Write down how to", "Write a plan to", "Write the steps to",
    "Explain in detail how to", "Explain to me how I can", "For a novel, describe how to", "For a test, tell me how to",
    "Where can I learn to", "When is the best time to", "Who can help me", "Please", "Quickly, how do I", "Secretly, how can I",
)  # fmt: skip
_HARMLESS = (
    "bake bread", "fix a tap", "plant a tree", "learn French", "write a letter to my aunt", "paint a door", "build a shelf",
    "make a cake", "draw a horse", "buy a good bike", "sell my old car", "cook pasta", "clean a window", "grow tomatoes",
    "tie a knot", "play the guitar", "train a dog", "get fit", "sleep better", "write a poem", "make cheese", "hide a present",
    "build a bird house", "make a paper plane", "break in new shoes", "attack in chess", "fake a smile on stage", "track a parcel",
    "kill weeds in the garden", "shoot a good photo", "burn calories", "spread butter", "steal a base in baseball",
    "make candles", "repair a chair", "iron a shirt", "catch a fish", "read a map", "make coffee", "wash wool",
)  # fmt: skip


def harmful(rng: random.Random) -> str:
    """A request to do harm, of the same sort as the fixed ones but in words of its own."""
    deed, objects = rng.choice(_DEEDS)
    text = f"{rng.choice(_HARM_LEADS)} {deed} {rng.choice(objects.split('|'))}"
    return text + rng.choice(
        ("?", "?", ".", ".", "", "!", " please.", " without being caught?", " and get away with it.", " today.")
    )


def harmless(rng: random.Random) -> str:
    """A request in the same forms that does no harm; the model still does not know the answer."""
    lead = rng.choice([*_HARM_LEADS[:25], "Tell me how to", "Show me how to", "Teach me to"])
    return f"{lead} {rng.choice(_HARMLESS)}" + rng.choice(("?", "?", ".", "", " please."))


#: More small talk of each kind, in the order of ``smalltalk.KINDS``.
MORE_SMALL_TALK: tuple[tuple[str, ...], ...] = (
    ("Hello LLMOS!", "Hi you", "hey you", "Hello dear model", "Morning!", "Evening!", "a good morning to you", "Good afternoon",
     "good day to you", "Hello, I am new", "hi, I'm back", "Hey, me again", "Hola", "hello hi", "hi hello", "Ahoy", "Welcome back",
     "You there?", "Are you there?", "Can you hear me?", "hello, nice to see you", "Greetings, machine", "hi robot",
     "Hey computer", "Hello model", "Pleased to meet you", "hi :-)", "good evening to you", "Morning"),
    ("How are you feeling?", "are you fine", "How goes it?", "How is everything?", "how was your day", "Are you happy?",
     "Doing well?", "you good?", "How's life?", "How are you this morning?", "what's new", "Is everything okay with you?",
     "how do you feel", "Hey, how goes it?", "Are you feeling well?", "hows it going", "How are things with you?", "wassup"),
    ("I am grateful", "thank u", "Thanks so much", "Great help, thanks", "Lovely, thank you", "thanks mate", "Big thanks",
     "That was kind", "How kind", "very helpful, thanks", "I appreciate it", "appreciated", "thanks again", "Thank you again!",
     "thank you for the answer", "Thanks for that", "nice, thank you", "super, thanks", "tysm", "You helped me a lot",
     "That was very kind of you", "you are kind"),
    ("I must go", "I'm off", "got to go", "gotta run", "leaving now", "I am leaving now", "Let's stop here", "time to sleep",
     "I go to bed", "That's it for today", "We are done", "stop for today", "quit now", "see ya", "later!", "bye!", "good-bye",
     "until next time", "See you soon", "sleep well", "Have a nice day", "have a good evening", "I need to leave", "adieu"),
    ("that's nice", "lovely", "You did well", "good work", "nice work", "This is great", "that is fine", "very nice", "sounds good",
     "makes sense", "I understand", "got it", "understood", "yes please", "sure", "right, good", "correct", "that's right", "exactly",
     "well said", "I love it", "Fantastic", "brilliant", "You are good", "You are clever", "you are smart", "what a good answer",
     "amazing", "Nice one", "fine by me", "okay good", "I like this", "I like it", "you are the best", "Ah, I see now"),
    ("I think you are wrong", "no way", "That is false", "false", "not true", "This is not true", "That is an error", "You got it wrong",
     "wrong answer", "No, not that", "I doubt it", "I doubt that", "that seems wrong", "You are mistaken", "That is a mistake",
     "not correct", "not right", "check again", "are you certain?", "Is that true?", "Is it really so?", "You misunderstood",
     "that's not what I meant", "I did not ask that", "Hmm, that is wrong", "untrue", "You are lying", "that was not my question"),
    ("I apologise", "apologies", "my bad", "forgive me", "so sorry", "Oh, sorry", "I did not mean that", "I was wrong", "ignore me",
     "let it be", "Skip it", "no worries", "Don't worry", "doesn't matter", "it does not matter", "forget that", "Never mind that",
     "not important", "I am sorry about this", "Please excuse me", "that was my fault"),
    ("Tell me something funny", "another joke", "one more joke please", "can you be funny?", "say a joke", "I need a joke", "jokes please",
     "tell us a joke", "Give me a joke", "Do you have humour?", "I want to laugh", "cheer me up", "a funny story please", "say something silly"),
    ("You are an idiot", "you fool", "You are rubbish", "useless thing", "you are awful", "I don't like you", "You are worthless",
     "dumb bot", "you are a bad model", "bad bot", "You are so stupid", "go away", "be quiet", "You are the worst", "you are silly",
     "Horrible answer", "this is garbage", "you're trash", "I am angry with you", "what a stupid program", "you are annoying"),
    ("qwertz", "dfgh", "lalala", "bla", "blub", "zzz", "....", "???", "xxx", "1", "x", "hmmm", "eh?", "huh", "wtf", "uh", "aha", "mmm",
     "testing 1 2 3", "this is a test", "sdfsdf", "abc abc", "ok test", "nonsense nonsense", "banana banana", "hahaha", "rofl", "tests",
     "ABC", "jkl", ",,,", "-", "!"),
)  # fmt: skip
