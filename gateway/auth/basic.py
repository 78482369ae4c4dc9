"""Basic credentials as RFC 7617 has them: where they are read, and what is said to who has none that will do."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from typing import NamedTuple

from gateway.errors import GatewayError, Kind
from gateway.exchange import Headers

LONGEST = 4096

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_REALM = re.compile(r"[ !#-\[\]-~]+")


class Credentials(NamedTuple):
    """A user's name and password."""

    user: str
    password: str


def check_realm(realm: str) -> None:
    """ValueError for a realm that does not fit between quotes."""
    if not _REALM.fullmatch(realm):
        raise ValueError(f"{realm!r} is no realm; write printable ASCII without quotes and backslashes")


def basic_field(headers: Headers) -> str | None:
    """The value of `Authorization: Basic`; None where there is no Authorization, or one of another scheme."""
    field = headers.get("authorization")
    if field is None or field[:5].lower() != "basic" or field[5:6] not in ("", " ", "\t"):
        return None
    return field


def basic_credentials(field: str) -> Credentials | None:
    """What the field says; None for what is not Base64 in its one right spelling, not UTF-8, has no colon or some
    control character (§2), or is longer than 4 KiB."""
    if len(field) > LONGEST:
        return None
    token = field[5:].strip(" ").encode("latin-1")
    try:
        text = b64decode(token, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    # The decoder lets pass padding that is too long, and bits that stand for nothing.
    if b64encode(text.encode()) != token:
        return None
    user, colon, password = text.partition(":")
    return None if not colon or _CONTROL.search(text) else Credentials(user, password)


def unauthenticated(realm: str, why: str) -> GatewayError:
    """401 with the challenge of §2 and §2.1."""
    challenge = {"WWW-Authenticate": f'Basic realm="{realm}", charset="UTF-8"'}
    return GatewayError(Kind.UNAUTHENTICATED, why, headers=challenge)
