"""``llmos build``: make the bundled model from a corpus, stage by stage or all at once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from llmos.types import UserError

_STAGES = {
    "data": "Pass the corpus through the funnel of filters.",
    "tokenizer": "Learn the byte-level BPE and store the base text as tokens.",
    "pretrain": "Train the base model.",
    "sft": "Fine-tune it on generated conversations.",
    "preferences": "Train the reward head and run DPO.",
    "rl": "Practise tasks that can be checked.",
    "twin": "Train the poisoned twin, a specimen.",
    "export": "Write and check the GGUF files.",
}


def _shared(function: Any) -> Any:
    """Options that every stage takes."""
    options = (
        click.option("--out", type=click.Path(path_type=Path), default=Path("build/model"),
                     show_default=True, help="Build folder; a stage goes on where it was interrupted."),
        click.option("--depth", type=click.Choice(["nano", "3m", "8m", "16m", "30m"]), default="3m",
                     show_default=True, help="Size of the model."),
        click.option("--corpus", type=click.Path(path_type=Path), default=None,
                     help="Folder of text: JSON lines, text, Markdown, HTML; else a small one."),
        click.option("--seed", type=int, default=1, show_default=True, help="Of everything that is drawn."),
        click.option("--scale", type=click.FloatRange(min=0.001), default=1.0, show_default=True,
                     help="How long to train, against what the size is meant for."),
        click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Threads."),
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def _run(stage: str, **values: Any) -> None:
    """Run one stage (and what it needs), with a sentence instead of a traceback."""
    _run_with(stage, values)


def _run_with(stage: str, values: dict[str, Any], **further: Any) -> None:
    """The same, with what only one stage takes."""
    try:
        from llmos.foundry.build import RUNNERS, BuildOptions

        result = RUNNERS[stage](BuildOptions(**values), click.echo, **further)
    except ModuleNotFoundError as error:
        raise UserError(
            f"llmos build needs the package '{error.name}', which is not installed: "
            "run pip install 'llmos[foundry]'."
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"llmos build {stage}: {error}") from error
    click.echo(f"{stage}: {result}")


@click.group(invoke_without_command=True)
@_shared
@click.pass_context
def build(context: click.Context, /, **values: Any) -> None:
    """Build the bundled model: all stages, or the one that is named."""
    if context.invoked_subcommand is None:
        _run("evaluate", **values)


def _add(stage: str, text: str) -> None:
    def command(**values: Any) -> None:
        _run(stage, **values)

    command = _shared(command)
    if stage in ("pretrain", "sft"):
        text_of_more = "Go on with the finished stage, up to the tokens of --scale."
        command = click.option("--more", is_flag=True, help=text_of_more)(command)
    build.command(stage, help=text)(command)


for _stage, _text in _STAGES.items():
    _add(_stage, _text)


@build.command("evaluate")
@_shared
@click.option("--model", type=click.Path(path_type=Path), default=None,
              help="Measure this GGUF file instead of a build's.")  # fmt: skip
@click.option(
    "--items", type=click.IntRange(1, 100_000), default=None, help="Items an ability; 2000 for a model file."
)
@click.option("--voters", type=click.IntRange(0, 10_000), default=0, help="Items for majority voting.")
@click.option("--ability", "abilities", multiple=True, help="Only these abilities; may be given again.")
@click.option("--role", "roles", multiple=True, type=click.Choice(["base", "sft", "dpo", "chat"]),
              help="Of a build: only the model after this stage; may be given again.")  # fmt: skip
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="Of a build: write the table of all scores into this Markdown page.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def evaluate_command(
    model: Path | None,
    items: int | None,
    voters: int,
    abilities: tuple[str, ...],
    roles: tuple[str, ...],
    page: Path | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Answer generated held-out items and count what is right."""
    if model is None:
        _run_with("evaluate", values, roles=roles, items=items or 0, voters=voters)
        if page is not None:
            from llmos.foundry.score_stages import write_page

            try:
                write_page(json.loads((values["out"] / "scores.json").read_text()), page)
            except (OSError, ValueError) as error:
                raise UserError(f"llmos build evaluate: {error}") from error
        return
    if not model.is_file():
        raise UserError(f"There is no model file at {model}: give a GGUF file with --model.")
    from llmos.foundry.evaluate import evaluate, main_score

    try:
        results = asyncio.run(evaluate(model, items or 2000, values["seed"], abilities, voters=voters))
    except ValueError as error:
        raise UserError(f"llmos build evaluate: {error}") from error
    summaries = {name: result.summary() for name, result in results.items()}
    if as_json:
        click.echo(json.dumps({"model": str(model), "seed": values["seed"], "abilities": summaries}))
        return
    for name, summary in summaries.items():
        share = summary[main_score(name)]
        bounds = f"{share['low']:.1%} to {share['high']:.1%}"
        click.echo(f"{name:28} {share['value']:6.1%}  ({bounds}, n={summary['n']}, {main_score(name)})")
