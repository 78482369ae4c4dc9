"""What an access log must not show: the values of secret query parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

REDACTED = "REDACTED"


class Redactor:
    """Puts `REDACTED` in place of the values of some query parameters; the rest stays byte for byte.

    Names are compared decoded, and without regard to case. Pure.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower() for name in names)
        # Most queries hold nothing of the kind: one search tells, where no name is written in escapes.
        words = "|".join(re.escape(name) for name in sorted(self._names))
        self._suspect = re.compile(f"{words}|[%+]" if words else "[%+]", re.IGNORECASE).search

    def query(self, query: str) -> str:
        """A query without what is secret. A value reaches to the next `&`."""
        if self._suspect(query) is None:
            return query
        parts = query.split("&")
        for number, part in enumerate(parts):
            if ";" in part:
                parts[number] = self._old_style(part)
            elif self._hides(part):
                parts[number] = f"{part.partition('=')[0]}={REDACTED}"
        return "&".join(parts)

    def url(self, url: str) -> str:
        """A URL, such as a Referer, without what is secret in its query."""
        before, mark, query = url.partition("?")
        return f"{before}?{self.query(query)}" if mark else url

    def _hides(self, part: str) -> bool:
        name, equals, _ = part.partition("=")
        if "%" in name or "+" in name:
            name = unquote_plus(name)
        return bool(equals) and name.lower() in self._names

    def _old_style(self, part: str) -> str:
        # Some services still take `;` for `&`, others take it as part of the value: hide what either would.
        pieces = part.split(";")
        for number, piece in enumerate(pieces):
            if self._hides(piece):
                return ";".join([*pieces[:number], f"{piece.partition('=')[0]}={REDACTED}"])
        return part
