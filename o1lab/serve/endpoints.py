"""Checks of the endpoints of o1lab.toml: their URLs, keys and names; and their addresses."""

from __future__ import annotations

import base64
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from o1lab.config import Config, Endpoint
from o1lab.errors import LabError

_SECRET = re.compile("key|token|secret|sig|pass|code", re.IGNORECASE)
_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_NAMES = {" ": "a space", "\n": "a line break", "\r": "a carriage return", "\t": "a tab", "\ufeff": "a byte-order mark"}


@dataclass(frozen=True)
class ModelAddress:
    """The address of a model. The key is not part of the repr.

    Attributes:
        base_url: the URL without credentials and query.
        query: the parameters of the query, which every request gets.
        headers: more headers of every request.
        omit: options that requests leave out, as the endpoint's settings say.
        fields: more fields of every request, such as the options of a student's template.
        first_token_timeout_s: seconds without data before the first text, as the endpoint's settings say.
        continues: how its server continues a response that has begun: ``messages``, o1lab's servers, which take it as
            the last message; ``tokens``, vLLM, as token ids; empty if it cannot.
    """

    base_url: str
    model: str
    key: str = field(repr=False)
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    omit: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)
    first_token_timeout_s: float | None = None
    continues: Literal["", "messages", "tokens"] = ""

    def redact(self, text: str) -> str:
        """Replace the secrets of requests in ``text`` by asterisks: the key, the values of headers, and such values of
        the query. Up to five characters are not secret and may be part of a word."""
        secrets = [self.key, *(value.rpartition(" ")[2] for _, value in self.headers)]
        for secret in secrets + [value for name, value in self.query if _SECRET.search(name)]:
            text = text.replace(secret, "***") if len(secret) > 5 else text
        return text


def public_url(url: str) -> str:
    """Return a URL without credentials, query and fragment, which may be secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("?")[0].rpartition("@")[2]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def endpoint_address(endpoint: Endpoint) -> ModelAddress:
    """Return the address of an endpoint.

    A query in its URL, such as Azure's ``?api-version=...``, goes with every request; a user name and password become
    the header of basic authentication, unless the endpoint has a key.

    Raises:
        LabError: its URL is not valid (code ``bad_url``), or its key's variable is not set (``no_key``) or contains
            something that is not part of a key (``bad_key``).
    """
    if fault := url_fault(endpoint):
        raise LabError(f"{fault}.", "Correct it in o1lab.toml.", code="bad_url")
    parts = urlsplit(endpoint.url)
    key = endpoint_key(endpoint)
    query = tuple(parse_qsl(parts.query, keep_blank_values=True))
    headers: tuple[tuple[str, str], ...] = ()
    user, at, _ = parts.netloc.rpartition("@")
    if at and endpoint.key_env is None:
        token = base64.b64encode(unquote(user).encode()).decode()
        headers = (("Authorization", f"Basic {token}"),)
    elif "api-version" in dict(query):
        headers = (("api-key", key),)  # Azure's name for the key
    return ModelAddress(
        base_url(endpoint), endpoint.model, key, query, headers, tuple(endpoint.omit),
        first_token_timeout_s=endpoint.first_token_timeout_s,
    )  # fmt: skip


def base_url(endpoint: Endpoint) -> str:
    """Return the URL of an endpoint to which the paths of the protocol are added: without query and credentials."""
    return public_url(endpoint.url).rstrip("/").removesuffix("/chat/completions")


def endpoint_key(endpoint: Endpoint) -> str:
    """Return the endpoint's key from its variable; "none" for an endpoint without a key.

    Raises:
        LabError: the variable is not set (code ``no_key``), or contains what is not part of a key (``bad_key``).
    """
    if endpoint.key_env is None:
        return "none"
    value = os.environ.get(endpoint.key_env)
    if not value:
        raise LabError(
            f"The key of {endpoint.name} is missing: {endpoint.key_env} is not set.",
            f"Set it before starting o1lab: export {endpoint.key_env}=...",
            code="no_key",
        )
    if fault := _key_fault(value):
        raise LabError(
            f"The key of {endpoint.name} is not valid: {endpoint.key_env} contains {fault}.",
            f"Set {endpoint.key_env} again, to the key alone.",
            code="bad_key",
        )
    return value


def key_faults(endpoints: Iterable[Endpoint]) -> list[str]:
    """Return one sentence for each variable whose key cannot be right."""
    named = {e.key_env: os.environ.get(e.key_env) for e in endpoints if e.key_env}
    return [f"{name} contains {fault}" for name, value in named.items() if value and (fault := _key_fault(value))]


def _key_fault(key: str) -> str:
    """Return what a key contains that no HTTP header and no key has, with its place; empty if nothing."""
    for at, character in enumerate(key, 1):
        if character in _QUOTES or not "!" <= character <= "~":
            code = f"U+{ord(character):04X}"
            name = _NAMES.get(character) or unicodedata.name(character, "a control character").lower()
            return f"{name} ({code}) at character {at}"
    return ""


def url_fault(endpoint: Endpoint) -> str:
    """Return why the URL of an endpoint cannot be used; empty if it can. The sentence has no final full stop."""
    shown, url = f"The url of {endpoint.name}", endpoint.url
    if url != url.strip() or re.search(r"[\x00-\x20\x7f]", url):
        return f"{shown} contains a space or a control character"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return f"{shown} is not valid: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        guess = url.partition("://")[2] or url.lstrip("/")
        host = guess.rpartition("@")[2]
        local = host.startswith(("localhost", "127.", "[::1]", "0.0.0.0"))  # noqa: S104 - compared, not bound
        return f"{shown} has no scheme: write {'http' if local else 'https'}://{public_url('//' + host)[2:]}"
    if "@" in parts.netloc and endpoint.key_env is not None:
        return f"{shown} contains a user name and a password, and key_env names a key too: use one of them"
    return ""


def name_faults(config: Config, others: Iterable[str] = ()) -> list[str]:
    """Return one sentence for each name that two models of the lab share.

    Args:
        config: the settings of the lab.
        others: names of models that are not in o1lab.toml, such as checkpoints.
    """
    counted = Counter(endpoint.name for endpoint in config.endpoints)
    twice = [f"{number} endpoints are called '{name}'" for name, number in counted.items() if number > 1]
    taken = dict.fromkeys(others, "a run") | {"solver": "the built-in solver", config.base: "the base model"}
    return twice + [f"an endpoint and {what} are called '{name}'" for name, what in taken.items() if name in counted]
