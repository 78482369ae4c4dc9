"""TLS with clients: what a request costs beside HAProxy's, and a new connection beside nginx's."""

from __future__ import annotations

import datetime as dt
import ipaddress
import shutil
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from loadtest.bench.generator import Target
from loadtest.bench.peers import SMALL, Instance, start
from loadtest.bench.process import HarnessError
from loadtest.bench.scenarios import Bench, Cell, rotate, say

# How each peer is told of the certificate; @ is the file with certificate and key.
LINES = {
    "gateway": {"TLS": "    tls: {certificates: [{cert: @, key: @}]}"},
    "nginx": {"TLS": " ssl", "CERTIFICATE": "ssl_certificate @; ssl_certificate_key @; ssl_protocols TLSv1.2 TLSv1.3;"},
    "haproxy": {"TLS": " ssl crt @"},
}


def write_certificate(path: Path) -> None:
    """One for 127.0.0.1 that signs itself, for a day, with its key (P-256, as most have today)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(days=1))
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + secret)


def tls(bench: Bench) -> None:
    """Keep-alive requests with the full chain, then handshakes without a request; every peer in turn."""
    if shutil.which("wrk") is None:
        say("  left out: it needs wrk")
        return
    pem = bench.sandbox.folder("certificate") / "both.pem"
    write_certificate(pem)
    running: list[Instance] = []
    for peer in (one for one in bench.peers if one in LINES):
        values = {name: line.replace("@", str(pem)) for name, line in LINES[peer].items()}
        where = (bench.sandbox, peer, "full", bench.backend.port, bench.gateway_core)
        try:
            running.append(start(*where, values=values))
        except HarnessError as error:
            bench.problem(f"tls: {error}")
    if not running:
        say(f"  left out: none of {', '.join(LINES)} runs with TLS")
        return
    kept = [Cell(one.peer, one, Target(one.port, (SMALL,), secure=True)) for one in running]
    rotate(bench, "tls", kept, bench.plan.seconds)
    new = [Cell(one.peer, one, Target(one.port, (SMALL,), secure=True, handshakes=True)) for one in running]
    rotate(bench, "handshakes", new, bench.plan.seconds)
    bench.sandbox.stop(*(one.child for one in running))
