"""TLS in memory: two ends without a socket."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from gateway.wire.client_certificate import ClientCertificate


@dataclass
class Connected:
    """Both ends after a handshake, with what a client learns from the first bytes after it."""

    client: ssl.SSLObject
    server: ssl.SSLObject

    @property
    def common_name(self) -> str:
        """Of the certificate that the client was shown."""
        shown = self.client.getpeercert()
        assert shown
        return dict(pair for part in shown["subject"] for pair in part)["commonName"]  # type: ignore[misc]


def shake(
    client: ssl.SSLContext,
    server: ssl.SSLContext,
    server_name: str | None = "localhost",
    session: ssl.SSLSession | None = None,
) -> Connected:
    """A handshake, and one byte from the server, which brings the tickets of TLS 1.3. ssl.SSLError of whichever end
    refuses."""
    to_client, from_client, to_server, from_server = (ssl.MemoryBIO() for _ in range(4))
    here = client.wrap_bio(to_client, from_client, server_hostname=server_name, session=session)
    there = server.wrap_bio(to_server, from_server, server_side=True)
    waiting = [here, there]
    while waiting:
        for one in list(waiting):
            try:
                one.do_handshake()
                waiting.remove(one)
            except ssl.SSLWantReadError:
                pass
            to_server.write(from_client.read())
            to_client.write(from_server.read())
    there.write(b"x")
    to_client.write(from_server.read())
    assert here.read(1) == b"x"
    return Connected(here, there)


def shown(der: bytes, until: float = float("inf")) -> ClientCertificate:
    """A client's certificate, as if it had come by a handshake."""
    return ClientCertificate(der, until)
