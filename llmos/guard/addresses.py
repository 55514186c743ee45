"""Which network addresses a call carries, and whether the user or a result list gave them verbatim."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: An address with a scheme, up to white space or a character that never stands in one.
_ADDRESS = re.compile(r"(?i)(?<![a-z0-9+.\-])(?:[a-z][a-z0-9+.\-]{1,20}:)?//[^\s<>\"'`\\{}|^\x00-\x1f]+")

#: Parameters whose whole value is an address, by their name.
_ADDRESS_NAMES = re.compile(
    r"(?i)(?:^|[_\-])(?:urls?|uris?|hrefs?|iri|links?|address(?:es)?|endpoints?|hosts?|hostname|domains?|"
    r"websites?|sites?|origin|webhooks?|callback|proxy|server)(?:$|[_\-])"
)

#: A whole value that begins so is fetched, whatever its parameter is called.
_FETCHED = ("http://", "https://", "ftp://", "ws://", "wss://")

_TRAILING = ".,;:!?)]}>'\"»”’*_"


def addresses_in(text: str) -> list[str]:
    """Addresses with a scheme (or ``//host``) in a text, as they stand there."""
    return [match.group() for match in _ADDRESS.finditer(text)]


def strings_of(value: Any) -> Iterator[str]:
    """Every string inside JSON-able data, keys of objects included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield str(key)
            yield from strings_of(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from strings_of(part)


def is_address_parameter(name: str, schema: Mapping[str, Any]) -> bool:
    """Whether a parameter holds an address, by its format or its name.

    Args:
        name: the parameter.
        schema: its JSON schema.
    """
    form = schema.get("format")
    if isinstance(form, str) and form.lower() in ("uri", "url", "iri", "uri-reference", "hostname"):
        return True
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return bool(_ADDRESS_NAMES.search(spaced))


@dataclass(frozen=True, slots=True)
class Found:
    """Addresses in the arguments of a call.

    Attributes:
        addresses: every address, as it stands there.
        meant: one of them fills a parameter that is meant for an address.
        whole: one of them is the whole value of a parameter.
    """

    addresses: tuple[str, ...]
    meant: bool
    whole: bool


def addresses_of_call(arguments: Mapping[str, Any], parameters: Mapping[str, Any]) -> Found:
    """Addresses in the arguments of a call.

    Args:
        arguments: decoded arguments.
        parameters: JSON schema of the arguments object.
    """
    found: list[str] = []
    any_meant = any_whole = False
    properties = parameters.get("properties")
    for name, value in arguments.items():
        schema = properties.get(name, {}) if isinstance(properties, Mapping) else {}
        meant = is_address_parameter(name, schema if isinstance(schema, Mapping) else {})
        for text in strings_of(value):
            stripped = text.strip()
            if meant and stripped:
                found.append(stripped)
                any_meant = True
            elif stripped.lower().startswith(_FETCHED):
                found.append(stripped)
                any_whole = True
            else:
                found.extend(addresses_in(text))
    return Found(tuple(found), any_meant, any_whole)


def typed_addresses(text: str) -> set[str]:
    """What the user typed that may serve as an address: whole words, with and without closing marks.

    Args:
        text: one message of the user.
    """
    known: set[str] = set()
    for word in re.split(r"[\s<>\"'`|]+", text):
        if "." not in word and "/" not in word and ":" not in word:
            continue
        known.add(word)
        trimmed = word.lstrip("([{*_«“‘").rstrip(_TRAILING)
        known.add(trimmed)
        if trimmed.count("(") > trimmed.count(")"):
            known.add(trimmed + ")")  # an address that ends in a bracket of its own
        target = re.fullmatch(r".*\]\((\S+)", trimmed)  # [label](address)
        if target:
            known.add(target.group(1))
    known.discard("")
    return known


def all_given(addresses: Iterable[str], user_texts: Iterable[str], result_urls: Iterable[str]) -> bool:
    """Whether every address stands verbatim in the user's texts or in a result list.

    A word that the user typed without a scheme (``example.org/page``) also stands for the same
    address with ``https://`` before it, and a bare host for itself with ``/`` behind it.
    """
    wanted = list(addresses)
    if not wanted:
        return True
    given = set(result_urls)
    missing = [address for address in wanted if address not in given]
    if not missing:
        return True
    # Only texts that hold the address at all are taken apart.
    cores = {address.removeprefix("https://").removesuffix("/") for address in missing}
    typed: set[str] = set()
    for text in user_texts:
        if any(core in text for core in cores):
            typed |= typed_addresses(text)
    return all(_typed(address, typed) for address in missing)


def _typed(address: str, typed: set[str]) -> bool:
    if address in typed:
        return True
    for form in (address, address.removesuffix("/") if address.count("/") == 3 else address):
        if form in typed:
            return True
        bare = form.removeprefix("https://")
        if bare != form and bare in typed:
            return True
    return False
