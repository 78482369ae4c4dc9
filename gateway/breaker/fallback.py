"""What answers in place of a failure: the last good answer, a literal one, or another upstream."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from gateway.app_names import upstream_name
from gateway.breaker.options import Fallback
from gateway.breaker.stale import Collector, StaleStore
from gateway.plugin import Env, Exchange, Headers, Reply, ResponseHead
from gateway.wire.head import ResponseHead as WireHead

HEADER: Final = "Gateway-Fallback"


class Fallbacks:
    """A breaker's fallback, ready to answer. `to` is the upstream that takes over, an application's too; None without
    one.

    Mutable state: the store of good answers.
    """

    def __init__(self, options: Fallback, env: Env) -> None:
        """ValueError for a file that cannot be read and for what JSON cannot hold, LookupError for an upstream that is
        not there."""
        if options.to is not None:
            env.upstream(options.to)
        self.to = options.to if options.app is None else upstream_name(options.app)
        self._options = options
        self.stale = StaleStore(options.stale.size, float(options.stale.for_)) if options.stale is not None else None
        self._literal = _literal(options, env.folder) if options.is_literal else None

    @property
    def applications(self) -> tuple[str, ...]:
        """The application that takes over, if it is one."""
        return () if self._options.app is None else (self._options.app,)

    @property
    def phases(self) -> set[str]:
        """What it needs beside `on_failure`: to mark the answer of `to`, to watch for good answers, and to see the end
        of either."""
        return {"on_response", "on_finish"} if self.to is not None or self.stale is not None else set()

    def is_current(self, env: Env) -> bool:
        """Would it be the same if it were made now? Upstreams go, and files change."""
        try:
            if self._options.to is not None:
                env.upstream(self._options.to)
            return self._literal is None or self._literal.body == _body(self._options, env.folder)[0]
        except (LookupError, ValueError):
            return False

    def answer(self, exchange: Exchange, now: float) -> Reply | None:
        """A reply in place of the failure, or the request is sent to `to`. `exchange.fallback` is then what it was:
        `stale`, `static` or `upstream`. Where there is nothing to give it stays as it is."""
        stale = self.stale.find(exchange, now) if self.stale is not None else None
        if stale is not None:
            stale.headers[HEADER] = exchange.fallback = "stale"
            return stale
        if self._literal is not None:
            exchange.fallback = "static"
            return self._literal
        if self.to is not None and self.to != exchange.upstream:
            exchange.set_upstream(self.to)
            exchange.fallback = "upstream"
        return None

    def watch(self, exchange: Exchange, head: ResponseHead, now: float) -> None:
        """An answer is on its way: if it is the upstream's own and a good one, it is kept when all of it has passed."""
        if self.stale is None or exchange.fallback or not _is_answered(exchange):
            return
        if exchange.tap is None and _ends_itself(head):
            tap = self.stale.tap(exchange, head, now, _as_received(head))
            if tap is None or head.body is None:
                exchange.tap = tap
            else:
                # Plugins whose turn comes later may edit both, as `compression` does: these fields go with this body.
                tap.feed(head.body)
                tap.end()

    def finished(self, exchange: Exchange) -> None:
        """No more of its answer comes."""
        if isinstance(exchange.tap, Collector):
            exchange.tap.abandon()


def _is_answered(exchange: Exchange) -> bool:
    """Is it the upstream's own answer, or one that was composed of several's?"""
    attempt = exchange.attempt
    if attempt is not None:
        return attempt.status == 200
    return bool(exchange.target) and not exchange.upstream


def _as_received(head: ResponseHead) -> Headers:
    """The fields before plugins edited them, since they will again; with a body that they may have edited, as it is."""
    return WireHead(head.block) if isinstance(head, WireHead) and head.body is None else head.headers


def _ends_itself(head: ResponseHead) -> bool:
    """Would a body that broke off be known as such? One that ends with the connection looks whole (RFC 9112 §8)."""
    chunked = isinstance(head, WireHead) and head.block.chunked
    return chunked or head.headers.get("content-length") is not None


def _literal(options: Fallback, folder: Path) -> Reply:
    body, media_type = _body(options, folder)
    headers = dict(_without(options.headers, HEADER))
    if media_type and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = media_type
    headers[HEADER] = "static"
    return Reply(options.status or 200, headers, body)


def _without(headers: dict[str, str], unwanted: str) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in headers.items() if name.lower() != unwanted.lower())


def _body(options: Fallback, folder: Path) -> tuple[bytes, str]:
    """The body, and its media type."""
    if options.json is not None:
        try:
            return orjson.dumps(options.json), "application/json"
        except TypeError as error:
            raise ValueError(f"the fallback's json cannot be written: {error}") from None
    if options.text is not None:
        return options.text.encode(), "text/plain; charset=utf-8"
    if options.file is None:
        return b"", ""
    path = folder / options.file
    try:
        body = path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"the fallback's file {options.file!r} cannot be read ({error.strerror}); it is looked for in {folder}"
        ) from None
    return body, mimetypes.guess_type(path.name)[0] or "application/octet-stream"
