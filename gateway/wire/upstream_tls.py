"""TLS with the endpoints of an upstream: whom the gateway believes, and whom it says it is."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import GatewayError, Kind
from gateway.wire.certificates import CIPHERS, VERSIONS, KeyPair, digest_of, load_authorities


@dataclass(frozen=True, slots=True)
class UpstreamTlsSettings:
    """What the configuration says. Without `ca` the system's authorities are believed, with `verify` False anybody."""

    ca: Path | None = None
    pair: KeyPair | None = None
    server_name: str | None = None
    verify: bool = True
    min_version: str = "1.2"

    def digest(self) -> str:
        """What is in the files, in short."""
        return digest_of([self.ca, *((self.pair.cert, self.pair.key) if self.pair is not None else ())])


class UpstreamTls:
    """TLS of the upstreams with the same settings.

    Mutable state: the context, made anew from the same files, and the digest of what they held.
    """

    def __init__(self, settings: UpstreamTlsSettings) -> None:
        """CertificateError for files that cannot be used."""
        self.settings = settings
        self.digest = settings.digest()
        self.context = make_context(settings)

    def changed(self) -> bool:
        """Do the files hold something else now?"""
        return self.settings.digest() != self.digest

    def adopt(self, other: UpstreamTls) -> None:
        """From now on connect by what another has read from the same files."""
        self.context, self.digest = other.context, other.digest

    def connecting(self, host: str) -> dict[str, Any]:
        """What the loop needs to connect to this host."""
        return {"ssl": self.context, "server_hostname": self.settings.server_name or host}

    def remember(self, connection: ssl.SSLObject) -> None:
        """What resumes the session of this connection shortens the next handshake with that name."""
        if connection.context is self.context and connection.server_hostname and connection.session is not None:
            self.context.sessions[connection.server_hostname] = connection.session

    def __repr__(self) -> str:
        return f"<UpstreamTls {self.settings.server_name or 'by host'}{'' if self.settings.verify else ' unverified'}>"


class ResumingContext(ssl.SSLContext):
    """A client's context that offers what it knows of earlier sessions. Mutable state: `sessions` by server name, of
    which there are as many as the upstream has hosts."""

    sessions: dict[str, ssl.SSLSession]

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        session = session or self.sessions.get(str(server_hostname))
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


def make_context(settings: UpstreamTlsSettings) -> ResumingContext:
    """A client's context. CertificateError for files that cannot be used."""
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sessions = {}
    context.minimum_version = VERSIONS[settings.min_version]
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_COMPRESSION
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.ca is not None:
        load_authorities(context, settings.ca, "ca")
    else:
        context.load_default_certs()
    if settings.pair is not None:
        settings.pair.load_into(context)
    return context


def tls_failure(address: str, error: ssl.SSLError) -> GatewayError:
    """Why there is no TLS with an endpoint (RFC 9209 §2.3.15 to 17)."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return GatewayError(Kind.TLS_CERTIFICATE_ERROR, cause=f"{address}: {error.verify_message}")
    # One that was not raised by OpenSSL has none.
    reason: str = getattr(error, "reason", None) or "no TLS"
    kind = Kind.TLS_ALERT_RECEIVED if "ALERT" in reason else Kind.TLS_PROTOCOL_ERROR
    return GatewayError(kind, cause=f"{address}: {reason.lower().replace('_', ' ')}")
