"""Forms (`application/x-www-form-urlencoded`, the URL Standard §5) as JSON objects, and back.

    tea=green&tea=black&note=&sugar=no+thanks
    {"tea": ["green", "black"], "note": "", "sugar": "no thanks"}

A field is a key and its text the value, never null: `note` and `note=` are both empty text. Fields of one name are a
list, at the place of the first; one that `lists` names is a list even when it is alone. Names are taken as they are:
brackets and points mean nothing. Everything is UTF-8; what is percent-encoded and is not is an error.

Writing is the same the other way round: a number or a boolean is its JSON text, null and an empty list are no field.
An object inside the object cannot be said.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus, unquote_to_bytes

from gateway.legacy.media import charset_of, media_type
from gateway.legacy.namespaces import shown
from gateway.legacy.numbers import text_of
from gateway.legacy.options import FormOptions

FORM = "application/x-www-form-urlencoded"
FIELDS = 10_000


class FormCodec:
    """Forms with options."""

    accept = f"{FORM}, */*;q=0.5"
    request_headers: tuple[tuple[str, str], ...] = ()
    method: str | None = None
    __slots__ = ("_lists", "_max_body")

    def __init__(self, options: FormOptions, max_body: int) -> None:
        self._lists = frozenset(options.lists)
        self._max_body = max_body

    def reads(self, content_type: str) -> bool:
        """Is it a form, and one without files?"""
        return media_type(content_type) == FORM

    def decode(self, body: bytes, content_type: str) -> dict[str, Any]:
        """The form's fields."""
        if len(body) > self._max_body:
            raise ValueError(f"longer than {self._max_body} bytes")
        if charset_of(content_type) not in ("", "utf-8"):
            raise ValueError("a form is read in UTF-8 alone")
        if body.count(b"&") >= FIELDS:
            raise ValueError(f"more than {FIELDS} fields")
        fields: dict[str, Any] = {}
        for pair in body.split(b"&"):
            if not pair:
                continue
            raw_name, _, raw_value = pair.partition(b"=")
            name, value = _decoded(raw_name), _decoded(raw_value)
            known = fields.get(name)
            if isinstance(known, list):
                known.append(value)
            elif known is not None:
                fields[name] = [known, value]
            else:
                fields[name] = [value] if name in self._lists else value
        return fields

    def encode(self, value: Any) -> tuple[bytes, str]:
        """The form of an object."""
        if not isinstance(value, dict):
            raise ValueError("a form is an object of fields")
        pairs: list[str] = []
        left = self._max_body
        for name, given in value.items():
            encoded = _encoded(name, name)
            for one in given if isinstance(given, list) else (given,):
                if one is not None:
                    pairs.append(f"{encoded}={_encoded(one, name)}")
                    left -= len(pairs[-1]) + 1
                    if left < -1:
                        raise ValueError(f"longer than {self._max_body} bytes")
        return "&".join(pairs).encode(), FORM


def _decoded(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise ValueError("a form has a text that is not UTF-8") from None


def _encoded(value: Any, name: str) -> str:
    if isinstance(value, bool | int | float):
        return quote_plus(text_of(value))
    if not isinstance(value, str):
        raise ValueError(f"a form cannot hold what is in {shown(name)}: a field is one text or number, or a list")
    try:
        return quote_plus(value)
    except UnicodeEncodeError:
        raise ValueError(f"the text in {shown(name)} is not Unicode") from None
