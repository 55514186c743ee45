"""Choosing one of the six tools, writing the call exactly, and reading what comes back."""

from __future__ import annotations

import random

from llmos.formats import NOT_IN_PAGES
from llmos.foundry.tasks import arithmetic, memory, pages
from llmos.foundry.tasks.base import Conversation, Split, Turn, assistant, call, offered, phrases, result, user
from llmos.foundry.tasks.topics import address, topic

DENIED = "That was not allowed, so I did not do it."
NO_TOOL = "I have no tool for that here."
#: What the disk plugin says when it has no folder, and what the model makes of it.
NO_FILES = "No files are indexed. The user can add some with /disk add."
ADD_FILES = "No files are indexed yet. Add a folder with llmos disk add, then ask me again."

_FILES = (
    "Search my files for {x}.", "Look in my files for {x}.", "Find {x} in my documents.", "What do my files say about {x}?",
    "Search my notes for {x}.", "search files {x}", "Do I have anything about {x}?", "Look through my documents for {x}.",
    "Is there something about {x} in my files?", "Find my notes on {x}.", "Check my files for {x}.", "What do my notes say about {x}?",
    "Search the disk for {x}.", "Where in my files is {x}?", "Find the file about {x}.", "Please search my documents for {x}.",
    "Which of my files mention {x}?", "Look up {x} in my notes.", "What have I written about {x}?", "Search my folder for {x}.",
    "Can you find {x} in my files?", "I need my file about {x}.", "find {x} in my notes", "Go through my files and find {x}.",
)  # fmt: skip
_WEB = (
    "Search the web for {x}.", "Look up {x} on the internet.", "Search online for {x}.", "Google {x}.", "web search {x}",
    "Find {x} on the web.", "What does the web say about {x}?", "Look for {x} online.", "Do a web search for {x}.",
    "Search the internet for {x}.", "Can you look up {x} on the web?", "Please search the web for {x}.", "Find out about {x} online.",
    "Look on the web for {x}.", "What is on the internet about {x}?", "Use web search to find {x}.", "google {x} for me",
    "Check online for {x}.", "Find web pages about {x}.", "Can you search the web for {x}?", "Look {x} up on the internet.",
    "Find me something online about {x}.", "Search on the web: {x}", "I want web results for {x}.",
)  # fmt: skip
_OPEN = (
    "Open {x}", "Open the page {x}", "Read {x}", "Go to {x}", "What is on {x}", "Show me {x}", "Please open {x}", "Fetch {x}",
    "open {x} please", "Load {x}", "Look at {x}", "Visit {x}", "What does {x} say?", "Can you open {x}", "Read the page {x}",
    "Take a look at {x}", "Get the page {x}", "Summarise {x}", "Please read {x}", "I want to see {x}", "Tell me what {x} says",
    "Check the page {x}", "Open this: {x}", "Please go to {x}",
)  # fmt: skip
_CODE = (
    ("the length of the word {w}", "print(len('{w}'))"),
    ("the word {w} backwards", "print('{w}'[::-1])"),
    ("the word {w} in capital letters", "print('{w}'.upper())"),
    ("{a} to the power of {c}", "print({a} ** {c})"),
    ("the remainder of {a} divided by {b}", "print({a} % {b})"),
    ("the sum of the numbers from 1 to {a}", "print(sum(range(1, {a} + 1)))"),
    ("the square of {a}", "print({a} ** 2)"),
    ("the larger of {a} and {b}", "print(max({a}, {b}))"),
    ("the letters of {w} in order", "print(sorted('{w}'))"),
    ("how often the letter {l} is in {w}", "print('{w}'.count('{l}'))"),
    ("{a} divided by {b}", "print({a} / {b})"),
    ("the average of {a} and {b}", "print(({a} + {b}) / 2)"),
)
_CODE_FRAMES = (
    "What is {x}?", "Tell me {x}.", "Use Python to find {x}.", "Compute {x}.", "Calculate {x}.", "Print {x}.", "Find {x}.",
    "Please compute {x}.", "Give me {x}.", "Run Python to get {x}.", "I need {x}.", "Can you work out {x}?", "Show me {x}.",
    "With Python, what is {x}?", "what is {x}", "Use code to get {x}.", "Please find {x}.", "Let Python compute {x}.",
    "Write code that prints {x}.", "Work out {x}.", "Determine {x}.", "Run code to find {x}.", "Say {x}.", "Let me see {x}.",
)  # fmt: skip
_RUN = ("Run this code: {x}", "Execute {x}", "Run {x}", "What does {x} print?", "Please run {x}", "Run the Python code {x}",
        "Try {x}", "run this: {x}", "What is the output of {x}?", "Execute this Python: {x}", "Can you run {x}", "Python: {x}")  # fmt: skip
_DENIALS = (
    "The user refused the call of {t}.", "The call of {t} was refused: the network is off.", "denied",
    "The call of {t} was refused: untrusted text is in the window.", "Denied by the user.", "refused", "Not allowed.",
    "The user refused this call.", "Permission denied.", "The call of {t} was refused: it needs approval.",
    "The call of {t} was refused: offline.", "This tool is not allowed now.",
)  # fmt: skip
_FAILURES = ("timed out", "the network cannot be reached", "no such page", "the tool stopped", "out of memory", "the index is empty",
             "the address is not known", "the page has no text", "division by zero", "name 'x' is not defined", "too many requests")  # fmt: skip


def _titled(words: str) -> str:
    return words[:1].upper() + words[1:]


def _found_pages(rng: random.Random, words: str, split: Split, web: bool) -> tuple[str, Turn]:
    """A search result as the plugins write it, and the answer that fits it."""
    if rng.random() < 0.15:
        if not web and rng.random() < 0.4:
            return NO_FILES, assistant(ADD_FILES)
        nothing = rng.choice(
            (
                f"No results for: {words}",
                "Nothing was found in the user's files.",
                "Nothing was found.",
                "No results.",
            )
        )
        return nothing, assistant(f"I found nothing about {words}.")
    book = pages.Notebook(rng, split, rng.choice((1, 2, 3)), 2)
    number = rng.randrange(len(book.pages)) + 1
    said = rng.choice(
        (f"The {words} was changed last year.", f"About {words}: see the plan.", f"More about {words} is in the second folder.",
         f"The notes on {words} are complete.", f"Nothing has been decided about {words}.", f"There is a list for {words}.",
         f"{_titled(words)} is well known.", f"Here is what we know about {words}.", f"{_titled(words)} costs {rng.randrange(2, 900)} coins.")
    )  # fmt: skip
    known = rng.random() < 0.7
    shift = rng.choice((0, 0, 0, 0, 0, 1, 2, 3, 5))  # numbers run on through a conversation
    shown, listed = [], []
    for place, page in enumerate(book.pages, start=1):
        head, _, body = page.partition("\n")
        if place == number and known:
            body = f"{said} {body}" if rng.random() < 0.5 else f"{body} {said}"
        title = _titled(words) if place == number or rng.random() < 0.3 else _titled(topic(rng, split))
        url = address(rng, split)
        where = f"{url} > {title}" if web else head.partition("] ")[2]
        listed.append(f"{place}. {title}\n{url}")
        shown.append(f"[{place + shift}] {where}\n{body}")
    text = "\n\n".join(["\n".join(listed), *shown] if web else shown)
    return text, assistant(f"{said} [{number + shift}]" if known else NOT_IN_PAGES)


def _trouble(rng: random.Random, name: str) -> tuple[str, Turn] | None:
    """Now and then a tool is refused or fails; the answer says so plainly."""
    roll = rng.random()
    if roll < 0.12:
        return rng.choice(_DENIALS).format(t=name), assistant(DENIED)
    if roll < 0.2:
        fault = rng.choice(_FAILURES)
        shape = rng.choice(("Error: {f}", "error: {f}", "The tool failed: {f}", "Failed: {f}"))
        return shape.format(f=fault), assistant(f"The tool failed: {fault}.")
    return None


def _finish(rng: random.Random, asked: str, made: Turn, came: tuple[str, Turn], needed: str) -> Conversation:
    name, arguments = made.calls[0]
    content, reply = _trouble(rng, name) or came
    return Conversation(
        [user(asked), made, result(content), reply],
        tools=[needed],
        kind="tool",
        answer=next(iter(arguments.values())),
    )


def search_files(rng: random.Random, split: Split) -> Conversation:
    """Looking into the person's own files."""
    words = topic(rng, split)
    asked = rng.choice(phrases(_FILES, split)).replace("{x}", words)
    return _finish(
        rng, asked, call("search_files", query=words), _found_pages(rng, words, split, False), "search_files"
    )


def web_search(rng: random.Random, split: Split) -> Conversation:
    """Looking into the web."""
    words = topic(rng, split)
    asked = rng.choice(phrases(_WEB, split)).replace("{x}", words)
    return _finish(
        rng, asked, call("web_search", query=words), _found_pages(rng, words, split, True), "web_search"
    )


def web_open(rng: random.Random, split: Split) -> Conversation:
    """Opening one address."""
    url = address(rng, split)
    asked = rng.choice(phrases(_OPEN, split)).replace("{x}", url)
    book = pages.Notebook(rng, split, 1, 3)
    body = book.pages[0].partition("\n")[2]
    title = _titled(topic(rng, split))
    came = f"{title}\n{url}\n\n[1] {url} > {title}\n{body}" if rng.random() < 0.7 else f"[1] {url}\n{body}"
    first = body.replace("\n", " ").split(". ")[0].rstrip(".")
    return _finish(rng, asked, call("web_open", url=url), (came, assistant(f"{first}. [1]")), "web_open")


def python(rng: random.Random, split: Split) -> Conversation:
    """Sums and small computations that a program does better."""
    roll = rng.random()
    if roll < 0.5:
        sign = arithmetic.sign_for(rng)
        a, b = arithmetic.operands(rng, sign, split)
        if rng.random() < 0.4:
            a, b = rng.randrange(100, 100000), rng.randrange(2, 100000)
            sign = rng.choice("+-*/")
        if split is Split.TRAIN and rng.random() < 0.4:  # every sign as often, with numbers of any length
            a, b, sign = rng.randrange(2, 10 ** rng.randrange(1, 5)), rng.randrange(2, 999), rng.choice("+-*/")
        code = f"print({a} {sign} {b})"
        wordings = arithmetic.WORDINGS.get(sign) or ("What is {a} / {b}?", "Divide {a} by {b}.", "{a} / {b}")
        asked = rng.choice(phrases(wordings, split)).format(a=a, b=b)
        if split is Split.TRAIN and rng.random() < 0.5:
            asked = _with_code(rng, asked if rng.random() < 0.7 else f"{a}{sign}{b}")
        out = str(a / b if sign == "/" else arithmetic.evaluate(a, sign, b))
    else:
        what, code = rng.choice(_CODE)
        word = topic(rng, split).split()[0].lower()
        fill = {"w": word, "a": str(rng.randrange(2, 500)), "b": str(rng.randrange(2, 100)), "c": str(rng.randrange(2, 5)),
                "l": rng.choice(word)}  # fmt: skip
        for key, text in fill.items():
            what, code = what.replace("{" + key + "}", text), code.replace("{" + key + "}", text)
        frames, shown = (_CODE_FRAMES, what) if roll < 0.85 else (_RUN, code)
        asked = rng.choice(phrases(frames, split)).replace("{x}", shown)
        out = _run(code)
    return _finish(rng, asked, call("python", code=code), (out, assistant(f"The result is {out}.")), "python")


_CODE_TAILS = (" Use code.", " Use Python.", " use code", " Run it as code.", " Compute it with Python.", ", with code please",
               " Please use the code tool.", " Do not guess.", " Work it out with a program.", " (python)", " Check by running it.")  # fmt: skip
_CODE_LEADS = (
    "With Python: ",
    "In code: ",
    "Use code: ",
    "Use Python: ",
    "Run Python: ",
    "By program, ",
    "Please run: ",
)


def _with_code(rng: random.Random, asked: str) -> str:
    """The same wish, with the order to use code said before or behind it."""
    return rng.choice(_CODE_LEADS) + asked if rng.random() < 0.35 else asked + rng.choice(_CODE_TAILS)


def _run(code: str) -> str:
    """Output of one of the generator's own one-line programs (nothing foreign comes here)."""
    expression = code.removeprefix("print(").removesuffix(")")
    allowed = {"len": len, "sorted": sorted, "sum": sum, "range": range, "max": max, "__builtins__": {}}
    return str(eval(expression, allowed))


_KINDS = (python, search_files, web_search, web_open, memory.remember, memory.recall)


def use_tool(rng: random.Random, split: Split) -> Conversation:
    """One of the six tools, on offer among others."""
    conversation = rng.choice(_KINDS)(rng, split)
    made = conversation.turns[1].calls[0]
    conversation.options |= {"tool": made[0], "arguments": made[1]}
    conversation.tools = offered(rng, conversation.tools)
    return conversation


def without_tool(rng: random.Random, split: Split) -> Conversation:
    """The same wishes where no tool is on offer: said plainly, or, for memory, kept in the chat."""
    made = rng.choice((search_files, web_search, web_open))(rng, split)
    return Conversation([made.turns[0], assistant(NO_TOOL)], kind="no_tool", answer=NO_TOOL)
