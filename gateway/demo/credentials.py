"""What a request to the sample auth service brings with it: credentials and fields."""

from __future__ import annotations

import re
from base64 import b64decode
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.demo.quantities import BadValue
from gateway.demo.switches import read_json

FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 100
# RFC 6750 §2.1
_BEARER = re.compile(r"bearer +([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)
_BASIC = re.compile(r"basic +([A-Za-z0-9+/]+=*)", re.IGNORECASE)


def bearer_token(request: web.Request) -> str | None:
    """The token of `Authorization: Bearer`."""
    match = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    return None if match is None else match[1]


def basic_credentials(request: web.Request) -> tuple[str, str] | None:
    """User and password of `Authorization: Basic` (RFC 7617, in UTF-8)."""
    match = _BASIC.fullmatch(request.headers.get("Authorization", ""))
    if match is None:
        return None
    try:
        user, colon, password = b64decode(match[1]).decode().partition(":")
    except ValueError:
        return None
    return (user, password) if colon else None


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a form, without empty ones. BadValue for what is no form, and for a field that comes twice.

    The rules are those of RFC 6749 §3.2.
    """
    if request.content_type != FORM:
        raise BadValue(f"the body must be {FORM}")
    try:
        pairs = parse_qsl((await request.read()).decode(), errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise BadValue(f"the body is not {FORM} in UTF-8, with at most {_MAX_FIELDS} fields") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BadValue("a field comes twice")
    return fields


async def read_fields(request: web.Request) -> dict[str, str]:
    """The fields of a form or of a JSON object whose values are strings; none where there is no body. Else BadValue."""
    if request.content_type == FORM:
        return await read_form(request)
    if not request.body_exists:
        return {}
    body = await read_json(request)
    if not isinstance(body, dict) or not all(isinstance(value, str) for value in body.values()):
        raise BadValue('the body must be a form or a JSON object of strings, such as {"user": "ada"}')
    return body
