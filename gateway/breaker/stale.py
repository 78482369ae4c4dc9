"""The last good answers, to be given again in place of a failure. Pure: time is passed in.

Kept is the last 200 for GET of each route, host, path and query, one for each variant that `Vary` tells apart
(RFC 9110 §12.5.5). A request with Authorization or Cookie may be answered for one person alone: it takes part only
under the name that an identity plugin gave, and sees nobody else's. Never kept is an answer with Set-Cookie,
`Vary: *`, or a Cache-Control that keeps it from others or from stale use: `private`, `no-store`, `no-cache`,
`must-revalidate`, `proxy-revalidate` and `s-maxage` (RFC 9111 §4.2.4). What the client asks of caches plays no part.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from gateway.answers.cache_control import read_cache_control
from gateway.exchange import Exchange, Headers, Reply, ResponseHead
from gateway.wire.headers import HOP_BY_HOP

# What belongs to one message or one connection: framing, and the times that are told anew.
NOT_KEPT: Final = frozenset(["age", "content-length", "date"]) | {name.decode() for name in HOP_BY_HOP}
FORBIDDING: Final = frozenset(["must-revalidate", "no-cache", "no-store", "private", "proxy-revalidate", "s-maxage"])
# Roughly what an answer costs beside its texts.
OVERHEAD: Final = 1024

# Route, host, path, query and principal.
Key = tuple[str, str, str, str, str | None]
# The request's fields that `Vary` names, with their values.
Variant = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class StaleAnswer:
    """One answer. `at` is when its head came, in monotonic seconds; `age` how many seconds old it was then. `vary`
    are the names in `variant`, in lower case."""

    key: Key
    vary: tuple[str, ...]
    variant: Variant
    headers: dict[str, str]
    body: bytes
    at: float
    age: int

    @property
    def size(self) -> int:
        """What it takes of the store, in bytes."""
        asked = (text for name, values in self.variant for text in (name, *values))
        texts = (*self.key, *asked, *self.headers, *self.headers.values())
        return OVERHEAD + len(self.body) + sum(len(text) for text in texts if text)


class Resource:
    """What is known of one key: the `vary` of its last answer, when that came, and how many answers are kept."""

    __slots__ = ("answers", "at", "vary")

    def __init__(self, answer: StaleAnswer) -> None:
        self.answers = 0
        self.at = answer.at
        self.vary = answer.vary


class StaleStore:
    """Answers up to `size` bytes in all, each a quarter of that at most, for `seconds`; the oldest goes first.

    Bodies under way take part in the size, half of it at most, in place of the oldest answers.
    Mutable state: the answers in the order of their storing, what is known of each key, `bytes`, their sum, and
    `gathering`, the bytes of bodies under way.
    """

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size
        self._seconds = seconds
        self._answers: OrderedDict[tuple[Key, Variant], StaleAnswer] = OrderedDict()
        self._resources: dict[Key, Resource] = {}
        self.bytes = 0
        self.gathering = 0

    @property
    def largest(self) -> int:
        """The most bytes that one answer may take."""
        return self._size // 4

    def tap(
        self, exchange: Exchange, head: ResponseHead, now: float, received: Headers | None = None
    ) -> Collector | None:
        """What collects the body of this answer and stores both in the end; None where it may not be kept. `received`
        are the fields to store, if not those of the head: either may forbid it."""
        if head.status != 200 or exchange.method != "GET":
            return None
        key = _key(exchange)
        headers = head.headers
        received = headers if received is None else received
        if key is None or _is_forbidden(headers) or _is_forbidden(received):
            return None
        vary = tuple(sorted(_members(headers, "vary") | _members(received, "vary")))
        if "*" in vary or _number(headers.get("content-length")) > self.largest:
            return None
        variant = _variant(exchange.headers, vary)
        age = _number(headers.get("age"))
        return Collector(self, StaleAnswer(key, vary, variant, _kept(received), b"", now, age))

    def put(self, answer: StaleAnswer) -> None:
        """Keep this answer in place of the one before. One that is too large is not kept, nor one whose body took so
        long that a newer answer is here."""
        size = answer.size
        if size > self.largest:
            return
        place = (answer.key, answer.variant)
        before = self._answers.get(place)
        resource = self._resources.get(answer.key)
        if before is not None and before.at > answer.at:
            return
        if resource is not None and resource.at > answer.at and resource.vary != answer.vary:
            return
        if before is not None:
            self._drop(place)
        resource = self._resources.setdefault(answer.key, Resource(answer))
        resource.vary = answer.vary
        resource.at = max(resource.at, answer.at)
        resource.answers += 1
        self._answers[place] = answer
        self.bytes += size
        self._make_room()
        while self._is_old(next(iter(self._answers.values())), answer.at):
            self._drop(next(iter(self._answers)))

    def gather(self, length: int) -> bool:
        """Take so many bytes more of a body under way; False where there is no room for them."""
        if self.gathering + length > self._size // 2:
            return False
        self.gathering += length
        self._make_room()
        return True

    def find(self, exchange: Exchange, now: float) -> Reply | None:
        """The last good answer for this GET or HEAD, with its Age; None without one."""
        key = _key(exchange) if exchange.method in ("GET", "HEAD") else None
        resource = self._resources.get(key) if key is not None else None
        if key is None or resource is None:
            return None
        place = (key, _variant(exchange.headers, resource.vary))
        answer = self._answers.get(place)
        if answer is None:
            return None
        if self._is_old(answer, now):
            self._drop(place)
            return None
        age = answer.age + max(int(now - answer.at), 0)
        return Reply(200, {**answer.headers, "Age": str(age)}, answer.body)

    def _is_old(self, answer: StaleAnswer, now: float) -> bool:
        return now - answer.at > self._seconds

    def _make_room(self) -> None:
        while self.bytes + self.gathering > self._size:
            self._drop(next(iter(self._answers)))

    def _drop(self, place: tuple[Key, Variant]) -> None:
        answer = self._answers.pop(place)
        self.bytes -= answer.size
        resource = self._resources[answer.key]
        resource.answers -= 1
        if not resource.answers:
            del self._resources[answer.key]

    def __len__(self) -> int:
        return len(self._answers)

    def __repr__(self) -> str:
        return f"<StaleStore {len(self)} answers, {self.bytes} bytes>"


class Collector:
    """Gathers a body, and stores the answer when all of it has passed. Mutable state: the body so far, None once it
    is stored or given up."""

    __slots__ = ("_answer", "_body", "_store")

    def __init__(self, store: StaleStore, answer: StaleAnswer) -> None:
        """`answer` is without its body."""
        self._store = store
        self._answer = answer
        self._body: bytearray | None = bytearray()

    def feed(self, data: bytes) -> None:
        """Keep the next slice, unless the body is too large already, or too many are under way."""
        body = self._body
        if body is None:
            return
        if len(body) + len(data) <= self._store.largest and self._store.gather(len(data)):
            body += data
        else:
            self.abandon()

    def end(self) -> None:
        """That was all of it."""
        body = self._body
        if body is not None:
            self.abandon()
            self._store.put(replace(self._answer, body=bytes(body)))

    def abandon(self) -> None:
        """No more of it comes: give back what it took. Does nothing after `end`."""
        if self._body is not None:
            self._store.gathering -= len(self._body)
            self._body = None


def _key(exchange: Exchange) -> Key | None:
    """What the answer belongs to; None where it may be one person's, and nobody knows whose."""
    headers = exchange.headers
    if exchange.principal is None and (
        exchange.claims is not None or headers.get("authorization") is not None or headers.get("cookie") is not None
    ):
        return None
    return exchange.route_id, exchange.host, exchange.raw_path, exchange.query, exchange.principal


def _is_forbidden(headers: Headers) -> bool:
    said = read_cache_control(", ".join(headers.get_all("cache-control")))
    return headers.get("set-cookie") is not None or not FORBIDDING.isdisjoint(said.directives)


def _members(headers: Headers, name: str) -> set[str]:
    """The members of a comma-separated field in lower case, without their parameters."""
    parts = (part.partition("=")[0].strip().lower() for value in headers.get_all(name) for part in value.split(","))
    return {part for part in parts if part}


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else 0


def _variant(headers: Headers, vary: tuple[str, ...]) -> Variant:
    return tuple((name, tuple(headers.get_all(name))) for name in vary)


def _kept(headers: Headers) -> dict[str, str]:
    """The end-to-end fields, those of one name joined (RFC 9110 §5.3)."""
    spelling: dict[str, str] = {}
    kept: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower not in NOT_KEPT:
            first = spelling.setdefault(lower, name)
            kept[first] = f"{kept[first]}, {value}" if first in kept else value
    return kept
