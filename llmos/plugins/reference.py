"""Writes ``docs/plugins/reference.md`` from the hook file, the contributions and the host.

``python -m llmos.plugins.reference [--check]``: with ``--check`` nothing is written and the exit
code is 1 when the page is not what the code says.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from llmos.plugins import contributions, hookspecs, host_api, program
from llmos.plugins.manifest import IN_PROCESS_HOOKS
from llmos.plugins.registry import DEADLINES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plugins" / "reference.md"

_HEAD = """# Reference: hooks, contributions, host

Made from `llmos/plugins/hookspecs.py`, `contributions.py` and `host_api.py` by
`python -m llmos.plugins.reference`; do not edit it by hand. Version of the surface: **{version}**.

Everything here is imported from `llmos.plugins`. Hooks are plain functions marked with `@hookimpl`; they run
on worker threads (or in a process of their own) under a deadline, take any part of the arguments shown, and
return data.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD.format(version=hookspecs.HOOK_API), "## Hooks\n"]
    for function in _functions(hookspecs):
        parts.append(_hook(function))
    parts.append("## What hooks return\n")
    for node in _classes(contributions):
        parts.append(_data_class(node))
    parts.append(
        "## The host\n\nThe only way back into the program; every method blocks, none is a coroutine.\n"
    )
    shared = {node.name: node for node in _classes(program)}
    for node in _classes(host_api):
        if not _is_protocol(node):
            parts.append(_data_class(node))
            continue
        bases = [shared[ast.unparse(base)] for base in node.bases if ast.unparse(base) in shared]
        parts.append(_protocol(node, bases))
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


def _functions(module: ModuleType) -> Iterator[ast.FunctionDef]:
    for node in _tree(module).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("llmos_"):
            yield node


def _classes(module: ModuleType) -> Iterator[ast.ClassDef]:
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node


def _is_protocol(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base) == "Protocol" for base in node.bases)


def _hook(node: ast.FunctionDef) -> str:
    arguments = ", ".join(
        f"{one.arg}: {ast.unparse(one.annotation)}" if one.annotation else one.arg for one in node.args.args
    )
    returns = ast.unparse(node.returns) if node.returns else "None"
    notes = [f"Deadline: {DEADLINES.get(node.name, 5.0):g} s."]
    if node.name in IN_PROCESS_HOOKS:
        notes.append("Only inside the program: the plugin must be bundled or trusted at install.")
    signature = f"```python\n{node.name}({arguments}) -> {returns}\n```"
    return f"### {node.name}\n\n{signature}\n\n{_text(node)}\n\n{' '.join(notes)}\n"


def _data_class(node: ast.ClassDef) -> str:
    fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
    rows = [f"    {ast.unparse(one)}" for one in fields]
    body = "\n".join(rows)
    return f"### {node.name}\n\n```python\n{node.name}(\n{body}\n)\n```\n\n{_text(node)}\n"


def _protocol(node: ast.ClassDef, bases: Sequence[ast.ClassDef] = ()) -> str:
    """A protocol's members, those of its bases after its own."""
    rows: list[str] = []
    for one in [member for part in (node, *bases) for member in part.body]:
        if not isinstance(one, ast.FunctionDef):
            continue
        property_ = any(ast.unparse(mark) == "property" for mark in one.decorator_list)
        returns = ast.unparse(one.returns) if one.returns else "None"
        if property_:
            title = f"`{one.name}: {returns}`"
        else:
            given = ast.unparse(one.args).removeprefix("self, ").removeprefix("self")
            title = f"`{one.name}({given}) -> {returns}`"
        first, _, rest = _text(one).partition("\n")
        more = f"\n{_indented(rest.strip())}" if rest.strip() else ""
        rows.append(f"- {title}: {first}{more}")
    return f"### {node.name}\n\n{_text(node)}\n\n" + "\n".join(rows) + "\n"


def _text(node: ast.FunctionDef | ast.ClassDef) -> str:
    """A docstring as Markdown: double backquotes become single, indented sections become lists."""
    lines = (ast.get_docstring(node) or "").replace("``", "`").splitlines()
    result: list[str] = []
    in_section = False
    for line in lines:
        if line.rstrip().endswith(":") and not line.startswith(" ") and len(line.split()) <= 4:
            in_section = True
            result += ["", f"{line.strip()}", ""]
        elif in_section and line.startswith("    ") and not line.startswith("     "):
            result.append(f"- {line.strip()}")
        elif in_section and line.startswith("     "):
            result.append(f"  {line.strip()}")
        else:
            in_section = in_section and not line.strip()
            result.append(line)
    return "\n".join(result).strip()


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())


def main(arguments: Sequence[str]) -> int:
    """Write the page, or say whether it is current."""
    text = page()
    if "--check" in arguments:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
        if not current:
            print(f"{PAGE} is not current; run `python -m llmos.plugins.reference`.", file=sys.stderr)
        return 0 if current else 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
