"""Answers of a composition's parts, kept for a while. Pure: time is passed in."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from math import inf
from typing import Final, NamedTuple

from gateway.answers.cache_control import delta_seconds, read_cache_control
from gateway.recent import RecentBytes

NOT_KEPT: Final = frozenset(["no-cache", "no-store", "private"])
# Roughly what an answer costs beside its texts.
OVERHEAD: Final = 1024


class Entry(NamedTuple):
    """A whole 200. Names of `headers` are in lower case; it is fresh until `until`, in monotonic seconds."""

    headers: Mapping[str, str]
    body: bytes
    until: float


class PartCache:
    """Answers up to `size` bytes in all, each a quarter of that at most, for `seconds` and no longer than they say
    themselves; what was not used for longest goes first.

    Mutable state: the answers.
    """

    def __init__(self, seconds: float, size: int) -> None:
        self._seconds = seconds
        self._answers: RecentBytes[Entry] = RecentBytes(size)

    def get(self, key: bytes, now: float) -> Entry | None:
        """The answer to this request while it is fresh, or None. `key` holds everything of the request that the answer
        may depend on, so that `Vary` need not be looked at."""
        entry = self._answers.get(key)
        if entry is not None and entry.until <= now:
            self._answers.drop(key)
            return None
        return entry

    def put(self, key: bytes, status: int, headers: Mapping[str, str], body: bytes, now: float) -> None:
        """Keep an answer that came just now; names of `headers` are in lower case. Nothing but a 200 is kept, nor one
        with Set-Cookie, `Vary: *`, or a Cache-Control with `no-store`, `no-cache` or `private` (RFC 9111 §3)."""
        if status != 200 or "set-cookie" in headers or "*" in headers.get("vary", ""):
            return
        life = min(self._seconds, _freshness(headers) - delta_seconds(headers.get("age", "")))
        if life > 0:
            texts = sum(len(name) + len(value) for name, value in headers.items())
            entry = Entry(dict(headers), body, now + life)
            self._answers.put(key, entry, OVERHEAD + len(key) + len(body) + texts)

    @property
    def bytes(self) -> int:
        """What the answers take."""
        return self._answers.bytes

    def __len__(self) -> int:
        return len(self._answers)

    def __repr__(self) -> str:
        return f"<PartCache {len(self)} answers, {self.bytes} bytes>"


def _freshness(headers: Mapping[str, str]) -> float:
    """For how many seconds a shared cache may keep an answer by its own word (RFC 9111 §4.2.1): 0 for not at all,
    endless where it says nothing."""
    said = read_cache_control(headers.get("cache-control", ""))
    if said.directives & NOT_KEPT:
        return 0.0
    age = said.max_age if said.s_maxage is None else said.s_maxage
    if age is not None:
        return age
    if "expires" not in headers:
        return inf
    expires, date = _at(headers["expires"]), _at(headers.get("date", ""))
    return 0.0 if expires is None or date is None else expires - date


def _at(date: str) -> float | None:
    """A date as seconds since 1970; None for one that cannot be read, which `0` is meant to be."""
    try:
        read = parsedate_tz(date)
        return None if read is None else mktime_tz(read)
    except (ValueError, OverflowError):
        return None
