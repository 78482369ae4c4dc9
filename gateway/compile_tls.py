"""Reads the certificates that a configuration names, and tells what is wrong with them at the place that names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.auth.header_names import check_identity_headers
from gateway.config.frontend_specs import FrontendSpec
from gateway.config.load import Loaded
from gateway.config.problems import Problem
from gateway.config.specs import ConfigSpec
from gateway.config.tls_specs import CertificateSpec, ListenerTlsSpec, UpstreamTlsSpec
from gateway.config.upstream_specs import UpstreamSpec
from gateway.wire.certificates import CertificateError, KeyPair
from gateway.wire.server_tls import Certificates, ServerTlsSettings
from gateway.wire.upstream_tls import UpstreamTls, UpstreamTlsSettings

Place = tuple[Any, ...]


class TlsReader:
    """One reading of all files. `problems` grows, as do `certificates`, by what names them, and `upstreams`."""

    def __init__(
        self, loaded: Loaded, folder: Path, now: float, before: Mapping[UpstreamTlsSettings, UpstreamTls]
    ) -> None:
        """Paths are relative to `folder`; `now` is in seconds since 1970; `before` is what upstreams use now, which
        they go on with where neither settings nor files have changed."""
        self._loaded = loaded
        self._folder = folder
        self._now = now
        self._before = before
        self._refused: set[UpstreamTlsSettings] = set()
        self.problems: list[Problem] = []
        self.certificates: dict[ListenerTlsSpec, Certificates] = {}
        self.upstreams: dict[UpstreamTlsSettings, UpstreamTls] = {}

    def read_listeners(self, spec: ConfigSpec, frontends: Sequence[FrontendSpec]) -> None:
        """The certificates of every listener, frontends' own included."""
        for number, listener in enumerate(spec.listeners):
            if listener.tls is not None:
                self._read(("listeners", number, "tls"), listener.tls)
        for frontend in frontends:
            if frontend.tls is not None:
                self._read((*self._loaded.path_of(frontend.name), "tls"), frontend.tls)

    def of_upstream(self, name: str, spec: UpstreamSpec) -> UpstreamTls | None:
        """How to speak TLS there. None for files that are no use."""
        settings = upstream_settings(spec.tls, self._folder)
        if settings in self._refused:
            return None
        found = self.upstreams.get(settings) or self._before.get(settings)
        at = ("upstreams", name, "tls")
        if not spec.tls.verify and settings not in self.upstreams:
            self._tell((*at, "verify"), f"whoever answers in place of {name} is believed", "warning")
        if found is None or found.changed():
            try:
                found = UpstreamTls(settings)
            except CertificateError as error:
                self._refused.add(settings)
                self._tell((*at, error.key), str(error))
                return None
        self.upstreams[settings] = found
        return found

    def _read(self, at: Place, spec: ListenerTlsSpec) -> None:
        try:
            check_identity_headers(spec.client_headers.names().values())
        except ValueError as error:
            message, _, hint = str(error).partition("; ")
            self.problems.append(Problem(self._loaded.position((*at, "client_headers")), message, hint))
        try:
            read = self.certificates[spec] = Certificates(server_settings(spec, self._folder), self._now)
        except CertificateError as error:
            where = (error.key,) if error.number is None else ("certificates", error.number, error.key)
            self._tell((*at, *where), str(error))
        else:
            for number, text in read.warnings:
                self._tell((*at, "certificates", number), text, "warning")

    def _tell(self, at: Place, message: str, severity: Any = "error") -> None:
        self.problems.append(Problem(self._loaded.position(at), message, severity=severity))


def client_headers(spec: ConfigSpec, frontends: Sequence[FrontendSpec]) -> Iterator[str]:
    """The headers that tell upstreams of clients' certificates, whichever listener they came through."""
    for tls in [*(one.tls for one in spec.listeners), *(one.tls for one in frontends)]:
        if tls is not None:
            yield from tls.client_headers.names().values()


def server_settings(spec: ListenerTlsSpec, folder: Path) -> ServerTlsSettings:
    """What a listener's connections begin with."""
    ca = folder / spec.client_ca if spec.client_ca is not None else None
    pairs = tuple(_pair(one, folder) for one in spec.certificates)
    return ServerTlsSettings(pairs, ca, spec.client_auth == "required", spec.min_version)


def upstream_settings(spec: UpstreamTlsSpec, folder: Path) -> UpstreamTlsSettings:
    """What connections to endpoints begin with."""
    pair = KeyPair(folder / spec.cert, folder / (spec.key or spec.cert)) if spec.cert is not None else None
    ca = folder / spec.ca if spec.ca is not None else None
    return UpstreamTlsSettings(ca, pair, spec.server_name, spec.verify, spec.min_version)


def _pair(spec: CertificateSpec, folder: Path) -> KeyPair:
    return KeyPair(folder / spec.cert, folder / (spec.key or spec.cert), spec.names)
