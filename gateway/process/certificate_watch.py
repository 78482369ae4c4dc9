"""Certificates that change on the disk go into service by themselves, without a reload and without closing anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from gateway.wire.certificates import CertificateError
from gateway.wire.listener import Listener
from gateway.wire.server_tls import Certificates, ServerTlsSettings
from gateway.wire.upstream_tls import UpstreamTls, UpstreamTlsSettings

log = logging.getLogger("gateway.process")
# Seconds between two looks. Systems that write certificates replace them days before the old ones end.
INTERVAL = 1.0


Files = Certificates | UpstreamTls
Read = TypeVar("Read", Certificates, UpstreamTls)


class CertificateWatch:
    """Looks at the files of everything in service, in a thread, once in a while.

    Mutable state: its task, and `_refused`, the digests of files that are no use, so that each is logged once.
    """

    def __init__(
        self, listeners: list[Listener], upstreams: Callable[[], Iterable[UpstreamTls]], wall: Callable[[], float]
    ) -> None:
        """`upstreams` gives those in service, `wall` the time in seconds since 1970."""
        self._listeners = listeners
        self._upstreams = upstreams
        self._wall = wall
        self._task: asyncio.Task[None] | None = None
        self._refused: dict[ServerTlsSettings | UpstreamTlsSettings, str] = {}

    def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.look()
            except Exception:
                log.exception("certificates could not be looked at")

    async def look(self) -> None:
        """Put into service what has changed. What is no use stays out, and all that was there before stays in."""
        listeners = [one for one in self._listeners if one.tls is not None]
        for listener in listeners:
            assert listener.tls is not None
            before = listener.tls.certificates
            read = await asyncio.to_thread(self._renewed, before, partial(Certificates, before.settings, self._wall()))
            # Meanwhile a reload may have brought others.
            if read is not None and listener.tls.certificates is before:
                await listener.adopt_certificates(read)
                names = ", ".join(name for name, _ in read.expiries)
                log.info("new certificates are in service on %s: %s", listener.address, names)
                for _, text in read.warnings:
                    log.warning("%s", text)
        for tls in list(self._upstreams()):
            renewed = await asyncio.to_thread(self._renewed, tls, partial(UpstreamTls, tls.settings))
            if renewed is not None:
                tls.adopt(renewed)
                log.info("new certificates are in service for upstreams")

    def _renewed(self, before: Files, read: Callable[[], Read]) -> Read | None:
        """What the files hold now, where that is something else and of use. Runs in a thread."""
        if not before.changed():
            return None
        # Before they are read: what changes meanwhile is for the next look.
        digest = before.settings.digest()
        try:
            return read()
        except CertificateError as error:
            # Files are seldom written all at once: the next look may find them whole.
            if self._refused.get(before.settings) != digest:
                self._refused[before.settings] = digest
                log.error("certificates are not changed: %s", error)
            return None

    def __repr__(self) -> str:
        return f"<CertificateWatch {'on' if self._task is not None else 'off'}>"
