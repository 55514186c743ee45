"""``llmos plugins check --write``: the tools' schemas, from the code into the manifest."""

from __future__ import annotations

from pathlib import Path

from llmos.plugins.discovery import package_folder
from llmos.plugins.manifest import MANIFEST_NAME
from llmos.plugins.testing import locate_plugin, open_plugin
from llmos.types import EffectClass, UserError


def write_schemas(path: Path) -> list[str]:
    """Import a plugin and write what its tools look like into its manifest.

    Args:
        path: the plugin's folder.

    Returns:
        A line for each tool written.

    Raises:
        UserError: a single file, or a manifest that cannot be written.
    """
    import tomlkit

    if path.is_file():
        raise UserError("A single file has no manifest file to write to; its tools are read when it is loaded.")
    _, module, root = locate_plugin(path)
    top = module.partition(".")[0]
    target = root / top / MANIFEST_NAME
    if not target.is_file():
        target = package_folder(top) / MANIFEST_NAME
    with open_plugin(path) as plugin:
        specs = [bound.spec for bound in plugin.session.tools().values()]
    document = tomlkit.parse(target.read_text(encoding="utf-8"))
    tables = tomlkit.aot()
    for spec in specs:
        table = tomlkit.table()
        table["name"] = spec.name
        table["description"] = spec.description
        if spec.effect is not EffectClass.PURE:
            table["effect"] = spec.effect.value
        if spec.time_limit != 30.0:
            table["time_limit"] = spec.time_limit
        if spec.result_limit != 8_000:
            table["result_limit"] = spec.result_limit
        if spec.contained:
            table["contained"] = True
        table["parameters"] = _without_none(dict(spec.parameters))
        tables.append(table)
    if "tools" in document:
        del document["tools"]
    if specs:
        document["tools"] = tables
    try:
        target.write_text(tomlkit.dumps(document), encoding="utf-8")
    except OSError as error:
        raise UserError(f"The manifest {target} cannot be written: {error.strerror}.") from error
    return [f"{spec.name}: written to {target.name}" for spec in specs]


def _without_none(value: object) -> object:
    """TOML has no null; a null default is the same as none given."""
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_none(one) for one in value if one is not None]
    return value
