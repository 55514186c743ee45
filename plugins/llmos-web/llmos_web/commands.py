"""``/web`` in the chat and ``llmos web …`` in the shell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmos.plugins import Command, CommandContext, CommandResult, Parameter
from llmos.types import UserError
from llmos_web.dates import clock
from llmos_web.results import escape, open_data, search_data, search_markdown
from llmos_web.web import Web


def commands(web: Callable[[], Web]) -> list[Command]:
    """The plugin's commands."""

    def search(context: CommandContext, query: str | Sequence[str], limit: int | None = None) -> CommandResult:
        """Search and show the results."""
        if limit is not None and not 1 <= limit <= 25:
            raise UserError("--limit must be from 1 to 25.")
        words = query if isinstance(query, str) else " ".join(query)
        outcome = web().searcher.search(words, limit, context.cancelled)
        if context.face == "cli":
            lines = [outcome.note] if outcome.note else []
            lines += [f"{hit.title}\n  {hit.url}\n  {hit.snippet}" for hit in outcome.found.hits]
            if not outcome.found.hits:
                lines.append(f"No results for: {outcome.found.query}")
            return CommandResult("\n".join(lines), search_data(outcome))
        return CommandResult(search_markdown(outcome), search_data(outcome))

    def open_page(context: CommandContext, url: str, fresh: bool = False) -> CommandResult:
        """Show a page's text."""
        opened = web().opener.open(url, fresh)
        document = opened.document
        head = [part for part in (document.title, document.final_url, document.date, opened.note) if part]
        if context.face != "cli":
            head = [escape(part) for part in head]
        return CommandResult("\n".join(head) + "\n\n" + document.text, open_data(opened))

    def engines(context: CommandContext) -> CommandResult:
        """Which engines are asked."""
        options, pauses = web().options, web().pauses
        if options.searxng:
            return CommandResult(f"Searches go to {options.searxng}.", {"searxng": options.searxng})
        rows = [{"engine": name, "paused_until": pauses.until(name)} for name in options.engines]
        lines = [
            f"{row['engine']}: "
            + (f"paused until {clock(until)}" if (until := float(str(row["paused_until"]))) else "asked")
            for row in rows
        ]
        return CommandResult("\n".join(lines), {"engines": rows})

    def clear(context: CommandContext) -> CommandResult:
        """Empty the cache."""
        web().cache.clear()
        web().pauses.clear()
        return CommandResult("The web cache is empty.", {"cleared": True})

    return [
        Command(
            "web",
            search,
            "Search the web and show the results.",
            (Parameter("query", "What to look for.", required=True),),
            ("tui",),
        ),
        Command(
            "web search",
            search,
            "Search the web.",
            (
                Parameter("query", "What to look for.", required=True, many=True),
                Parameter("limit", "Most results.", "int", option=True),
            ),
        ),
        Command(
            "web open",
            open_page,
            "Show the text of a page.",
            (
                Parameter("url", "The page's address.", required=True),
                Parameter("fresh", "Fetch it again though it is in the cache.", "flag", option=True),
            ),
        ),
        Command("web engines", engines, "Show the search engines, and which of them are paused."),
        Command("web clear", clear, "Empty the cache and forget pauses of engines."),
    ]
