"""The head of an answer that the gateway gives itself."""

from __future__ import annotations

from gateway.exchange import Reply
from gateway.wire.fields import FRAMING, KEYS_KEPT, checked_field, is_plain
from gateway.wire.head import ResponseBlock, ResponseHead
from gateway.wire.shapes import RESPONSES, Shape

# Shapes of replies by their names as text, and names without any that frame a message; bounded, cleared when full.
REPLY_SHAPES: dict[tuple[str, ...], Shape] = {}
GOOD_NAMES: set[tuple[str, ...]] = set()


def reply_head(reply: Reply) -> ResponseHead:
    """The head of a reply that the gateway gives itself, with its Content-Length. ValueError for a header that HTTP
    does not allow. What it comes to is kept with the reply, which may be given again."""
    block: ResponseBlock | None = reply.written
    if block is None:
        headers = reply.headers
        if tuple(headers) not in GOOD_NAMES:
            headers = _without_framing(headers)
        values = [
            value.encode() if is_plain(value) else checked_field(name, value)[1] for name, value in headers.items()
        ]
        names = tuple(headers)
        if reply.cookies:
            values += [checked_field("Set-Cookie", cookie)[1] for cookie in reply.cookies]
            names += ("Set-Cookie",) * len(reply.cookies)
        # A 304's would be the length of the 200 that it stands for (RFC 9110 §8.6).
        if reply.status not in (204, 304):
            values.append(b"%d" % len(reply.body))
            names = (*names, "Content-Length")
        shape = REPLY_SHAPES.get(names) or _reply_shape(names)
        block = reply.written = ResponseBlock(shape, values, reply.status)
        block.length = len(reply.body)
    return ResponseHead(block, reply.body)


def _without_framing(headers: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in headers.items() if name.lower().encode("latin-1", "replace") not in FRAMING}
    if len(GOOD_NAMES) >= KEYS_KEPT:
        GOOD_NAMES.clear()
    GOOD_NAMES.add(tuple(kept))
    return kept


def _reply_shape(names: tuple[str, ...]) -> Shape:
    raw = [checked_field(name, "")[0] for name in names]
    shape = RESPONSES.shape(raw)
    if len(REPLY_SHAPES) >= KEYS_KEPT:
        REPLY_SHAPES.clear()
    REPLY_SHAPES[names] = shape
    return shape
