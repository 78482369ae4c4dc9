"""What claims say of a request: whose it is, and what goes to the services behind as headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.exchange import Exchange

Fields = tuple[tuple[str, str], ...]


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of that name, or, where there is none and the name has dots, the member that they lead to. None
    where there is neither."""
    found = claims.get(name)
    if found is None and "." in name:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    return found


def words(value: Any) -> frozenset[str]:
    """A claim that holds several words: a list of them, or text with blanks between (RFC 8693 §4.2)."""
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list | tuple):
        return frozenset(item for item in value if isinstance(item, str))
    return frozenset()


def scopes_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes in `scope`, or in `scp`, as some issuers call it."""
    return words(claims.get("scope", claims.get("scp")))


def roles_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """The roles in `roles` (RFC 9068 §2.2.3.1) and in `realm_access.roles`, as Keycloak has them."""
    return words(claims.get("roles")) | words(claim(claims, "realm_access.roles"))


def consumer_of(exchange: Exchange) -> str | None:
    """The application that asks: what `api_key` and `basic_auth` found, else `client_id` or `azp` of a token."""
    claims = exchange.claims or {}
    for name in ("consumer", "client_id", "azp"):
        found = claims.get(name)
        if isinstance(found, str) and found:
            return found
    return None


def claim_headers(claims: Mapping[str, Any], names: Mapping[str, str]) -> Fields:
    """The headers that claims become; `names` maps claim to header. A claim that is not there becomes none.

    Text is as it is, in UTF-8; a list of scalars is joined by commas, or JSON where one of them holds a comma; an
    object is JSON. ValueError for text with control characters, which would be another header's.
    """
    fields: list[tuple[str, str]] = []
    for name, header in names.items():
        value = claim(claims, name)
        if value is not None:
            text = _text(value)
            if not text.isprintable():
                raise ValueError(f"the claim {name} holds a control character")
            # Services read UTF-8. Text that latin-1 can hold would go out as such, and one name look like another's.
            fields.append((header, text.strip().encode().decode("latin-1")))
    return tuple(fields)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, str | int) for item in value):
        items = [_text(item) for item in value]
        if not any("," in item for item in items):
            return ",".join(items)
    return orjson.dumps(value).decode()


def set_identity(exchange: Exchange, principal: str | None, claims: Mapping[str, Any], fields: Fields = ()) -> None:
    """The request is from `principal`, of whom services hear in these headers."""
    known = exchange.claims
    exchange.principal = principal
    exchange.claims = claims
    if known is None:
        exchange.headers.add_all(fields)
    else:
        # Another plugin knew it before: the later one holds, and services must not see both.
        for name, value in fields:
            exchange.headers.set(name, value)
