"""TLS with clients: which certificate a client is shown, and how others are put in its place."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.wire.certificates import (
    CIPHERS,
    VERSIONS,
    CertificateError,
    KeyPair,
    digest_of,
    load_authorities,
    names_of,
)

ALPN = ["http/1.1"]


@dataclass(frozen=True, slots=True)
class ServerTlsSettings:
    """What the configuration says of one listener. Without `client_ca` clients are not asked for certificates."""

    pairs: tuple[KeyPair, ...]
    client_ca: Path | None = None
    client_required: bool = True
    min_version: str = "1.2"

    @property
    def verify_mode(self) -> ssl.VerifyMode:
        """What is asked of clients."""
        if self.client_ca is None:
            return ssl.CERT_NONE
        return ssl.CERT_REQUIRED if self.client_required else ssl.CERT_OPTIONAL

    def digest(self) -> str:
        """What is in all the files, in short."""
        return digest_of([self.client_ca, *(path for pair in self.pairs for path in (pair.cert, pair.key))])


class Certificates:
    """The files of one listener as they were read once, ready to serve. Immutable.

    `expiries` are a name of each certificate and the end of its validity, in seconds since 1970. `warnings` are
    (which certificate, text).
    """

    def __init__(self, settings: ServerTlsSettings, now: float) -> None:
        """CertificateError for what cannot be used. `now` is in seconds since 1970."""
        self.settings = settings
        # Before anything is read: what changes meanwhile is then seen as a change.
        self.digest = settings.digest()
        self.trust = settings.verify_mode, digest_of([settings.client_ca])
        self.expiries: list[tuple[str, float]] = []
        self.warnings: list[tuple[int, str]] = []
        self._contexts: dict[str, ssl.SSLContext] = {}
        contexts = [self._read(number, pair, now) for number, pair in enumerate(settings.pairs)]
        self.first = contexts[0]

    def context_for(self, server_name: str | None) -> ssl.SSLContext:
        """What serves the name that a client asks for, else `*.` in place of its first label, else the first."""
        if server_name is None:
            return self.first
        name = server_name.lower()
        found = self._contexts.get(name) or self._contexts.get("*." + name.partition(".")[2])
        return found or self.first

    def changed(self) -> bool:
        """Do the files hold something else now?"""
        return self.settings.digest() != self.digest

    def _read(self, number: int, pair: KeyPair, now: float) -> ssl.SSLContext:
        context = make_context(self.settings)
        try:
            leaf = pair.load_into(context)
        except CertificateError as error:
            error.number = number
            raise
        names = pair.names or names_of(leaf)
        until = leaf.not_valid_after_utc.timestamp()
        self.expiries.append((names[0] if names else leaf.subject.rfc4514_string(), until))
        self.warnings += [(number, text) for text in self._doubts(pair, names, until, now)]
        for name in names:
            self._contexts.setdefault(name, context)
        return context

    def _doubts(self, pair: KeyPair, names: tuple[str, ...], until: float, now: float) -> Iterator[str]:
        if until < now:
            yield f"{pair.cert} has expired"
        for name in names:
            if name in self._contexts:
                yield f"{pair.cert} is for {name}, and so is one before it, which is used"


class ServerTls:
    """TLS of one listener.

    Mutable state: the certificates in service, and `context`, from which every connection starts. It holds the keys of
    session tickets and no certificate, so that processes that inherit it resume each other's sessions, whatever
    certificates are put into service meanwhile.
    """

    def __init__(self, certificates: Certificates) -> None:
        self.certificates = certificates
        self.context = self._made()

    def adopt(self, certificates: Certificates) -> bool:
        """Put these into service, for connections to come. True when `context` is another one now: what was resumed by
        its tickets would never be asked to prove itself to other authorities."""
        before, self.certificates = self.certificates, certificates
        if certificates.trust != before.trust:
            self.context = self._made()
            return True
        self.context.minimum_version = VERSIONS[certificates.settings.min_version]
        return False

    def _made(self) -> ssl.SSLContext:
        context = make_context(self.certificates.settings)
        context.sni_callback = self._asked
        return context

    def _asked(self, connection: ssl.SSLObject, server_name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self.certificates.context_for(server_name)

    def __repr__(self) -> str:
        return f"<ServerTls {', '.join(name for name, _ in self.certificates.expiries)}>"


def make_context(settings: ServerTlsSettings) -> ssl.SSLContext:
    """A context without a certificate. CertificateError for authorities that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[settings.min_version]
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(ALPN)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if settings.client_ca is not None:
        load_authorities(context, settings.client_ca, "client_ca")
    context.verify_mode = settings.verify_mode
    return context
