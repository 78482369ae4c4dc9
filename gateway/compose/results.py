"""What became of a part, and how its answer is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import orjson

from gateway.compose.plan import Part
from gateway.compose.template import MISSING, Unresolved
from gateway.errors import GatewayError, Kind
from gateway.legacy.codec import ServiceFault
from gateway.shaping.exact import NotJson, parse, verify
from gateway.upstreams.retry import retry_after_seconds

State = Literal["came", "skipped", "stands_in", "absent"]
# Whether a content type says JSON, by the type; bounded, cleared when full.
JSON_TYPES: dict[bytes, bool] = {b"application/json": True}
TYPES_KEPT = 256
BODYLESS = frozenset([204, 205])


class Fields(Protocol):
    """Header fields of an answer."""

    def raw(self, name: bytes, /) -> bytes | None:
        """The first value of `name` (lower case), or None."""


class KeptFields:
    """Header fields that were kept as text, names in lower case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields

    def raw(self, name: bytes, /) -> bytes | None:
        """The value of `name`, or None."""
        value = self._fields.get(name.decode())
        return None if value is None else value.encode("latin-1")


class Result:
    """One part's outcome. `raw` is its JSON as it came, where that is passed on; `value` is MISSING where nobody asked.

    `stands_in`: something else stands in its place, or in that of one of its items. `absent`: it failed, and nothing
    does. `skipped`: it was not asked.
    """

    __slots__ = ("raw", "seconds", "state", "value")

    def __init__(self, state: State, value: Any = MISSING, raw: bytes | None = None) -> None:
        self.state = state
        self.value = value
        self.raw = raw
        self.seconds = 0.0

    @property
    def shown(self) -> Any:
        """What the answer says of it."""
        return self.value if self.raw is None else orjson.Fragment(self.raw)

    def __repr__(self) -> str:
        return f"<Result {self.state}>"


def read(part: Part, status: int, fields: Fields, body: bytes, wall: float) -> Result:
    """The outcome of an answer. GatewayError for one that is a failure or rubbish. `wall` is in seconds since 1970."""
    if status >= 400:
        raise refused(part, _meant(part, status, fields, body), fields, wall)
    if status >= 300:
        raise invalid(part, f"answered {status}, and nobody follows it elsewhere")
    if status in BODYLESS or part.method == "HEAD":
        value: Any = None
    else:
        try:
            value = _decoded(part, fields, body)
        except ServiceFault as fault:
            raise refused(part, fault.status) from None
        except ValueError as error:
            raise invalid(part, f"answered rubbish: {error}") from None
        if part.spliced:
            return Result("came", value, body)
    if part.pick is not None:
        try:
            value = part.pick(value)
        except ValueError as error:
            raise invalid(part, f"cannot be picked from: {error}") from None
    if part.key is None and not isinstance(value, dict):
        raise invalid(part, "answered no object, so that nothing of it can be merged in")
    return Result("came", value)


def _meant(part: Part, status: int, fields: Fields, body: bytes) -> int:
    """The status that a failure comes to. SOAP answers every fault with 500, and says in the body whose it is."""
    content_type = _text(fields, b"content-type")
    if part.codec is not None and part.codec.reads(content_type):
        try:
            part.codec.decode(body, content_type)
        except ServiceFault as fault:
            return fault.status
        except ValueError:
            pass
    return status


def _decoded(part: Part, fields: Fields, body: bytes) -> Any:
    """The value; MISSING for one that is only passed on. ValueError."""
    if fields.raw(b"content-encoding") not in (None, b"identity"):
        raise ValueError("it is compressed, which was not asked for")
    if part.codec is not None:
        return part.codec.decode(body, _text(fields, b"content-type"))
    content_type = fields.raw(b"content-type")
    known = content_type is None or JSON_TYPES.get(content_type)
    if not (is_json(content_type or b"") if known is None else known):
        raise NotJson(f"it is {_text(fields, b'content-type')[:80]!r} and no JSON")
    if part.spliced and not part.referred:
        verify(body)
        return MISSING
    return parse(body)


def is_json(content_type: bytes) -> bool:
    """`application/json` and what ends in `+json` (RFC 6839 §3.1); an answer without a type is tried."""
    media = content_type.partition(b";")[0].strip().lower()
    known = media == b"application/json" or media.endswith(b"+json")
    if len(JSON_TYPES) >= TYPES_KEPT:
        JSON_TYPES.clear()
    if len(content_type) <= 128:
        JSON_TYPES[content_type] = known
    return known


def _text(fields: Fields, name: bytes) -> str:
    return (fields.raw(name) or b"").decode("latin-1")


def refused(part: Part, status: int, fields: Fields | None = None, wall: float = 0.0) -> GatewayError:
    """The upstream answered with an error: a 4xx is its word about the request, a 5xx its own fault."""
    cause = f"the part {part.name} answered {status}"
    if status >= 500:
        return GatewayError(Kind.PART_FAILED, f"the part {part.name!r} failed", cause)
    challenge = _text(fields, b"www-authenticate") if fields is not None else ""
    asked = _text(fields, b"retry-after") if fields is not None else ""
    return GatewayError(
        Kind.PART_REFUSED,
        f"the part {part.name!r} was refused",
        cause,
        status=status,
        headers={"WWW-Authenticate": challenge} if challenge else {},
        retry_after=retry_after_seconds(asked or None, wall),
    )


def unaskable(part: Part, error: Unresolved | ValueError, whom: str = "") -> GatewayError:
    """It is not known what to ask, or what to ask for an item: `whom` goes on from `asked`. That is the client's fault
    where its request lacks something, else that of the part which should have said it."""
    if (isinstance(error, Unresolved) and error.of_request) or not part.needs:
        told = f"the part {part.name!r} cannot be asked with this request: {error}"
        return GatewayError(Kind.BAD_REQUEST, told, f"the part {part.name} cannot be asked{whom}: {error}")
    return invalid(part, f"cannot be asked{whom}: {error}")


def invalid(part: Part, why: str) -> GatewayError:
    """What came of the part is of no use; `why` goes on from its name."""
    return GatewayError(Kind.PART_INVALID, f"the part {part.name!r} is unusable", f"the part {part.name} {why}")


def broken(part: Part, error: GatewayError) -> GatewayError:
    """There is no answer."""
    # The subrequest's time is the part's, and not that of the client's request.
    why = "it took too long" if error.kind is Kind.TOTAL_TIMEOUT else error.answer.title.lower()
    return GatewayError(
        error.kind,
        f"the part {part.name!r} is missing: {why}",
        f"the part {part.name}: {why}{': ' if error.cause else ''}{error.cause}",
        retry_after=error.retry_after,
    )
