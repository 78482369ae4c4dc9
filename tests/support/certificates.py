"""Certificates for tests, made on the spot: authorities, and whom they vouch for."""

from __future__ import annotations

import functools
import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def key_pem(self, password: str = "") -> bytes:
        cipher = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, cipher)

    def write(self, folder: Path, name: str) -> None:
        """As folder/NAME.crt and folder/NAME.key."""
        (folder / f"{name}.crt").write_bytes(self.pem)
        (folder / f"{name}.key").write_bytes(self.key_pem())


def issue(
    common_name: str,
    names: Iterable[str] = (),
    by: Issued | None = None,
    days: float = 30,
    authority: bool = False,
) -> Issued:
    """A certificate for `names`, which are hosts, addresses or URIs, from `by` or from itself. `days` before 0 is one
    that has expired so long ago."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=365))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
    )
    alternatives = [_alternative(name) for name in names]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return Issued(builder.sign(by.key if by is not None else key, hashes.SHA256()), key)


def _alternative(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@functools.cache
def authority(name: str = "test authority") -> Issued:
    """The authority of that name, the same one for all tests."""
    return issue(name, authority=True)


@functools.cache
def vouched(common_name: str, *names: str) -> Issued:
    """A certificate from the authority, the same one for all tests."""
    return issue(common_name, names, authority())


def write_server(folder: Path, name: str = "server", *names: str) -> Issued:
    """NAME.crt and NAME.key for `names`, or else for localhost and 127.0.0.1, and the authority's ca.crt."""
    (folder / "ca.crt").write_bytes(authority().pem)
    issued = vouched(name, *(names or ("localhost", "127.0.0.1")))
    issued.write(folder, name)
    return issued


def client_context(folder: Path, shows: Issued | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client that believes the authority, and shows a certificate if it is given one. `folder` is for its files."""
    context = ssl.create_default_context(cadata=authority().pem.decode())
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if shows is not None:
        shows.write(folder, "shown")
        context.load_cert_chain(folder / "shown.crt", folder / "shown.key")
    return context


def server_context(folder: Path, name: str = "server", asks: bool = False) -> ssl.SSLContext:
    """A server that shows NAME.crt, made where it is not there; with `asks` only clients that the authority knows."""
    if not (folder / f"{name}.crt").exists():
        write_server(folder, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    if asks:
        context.load_verify_locations(cadata=authority().pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def make_certificate(folder: Path, *names: str) -> tuple[Path, Path]:
    """A certificate that signs itself for these names, and its key: folder/NAME.crt and folder/NAME.key."""
    issue(names[0], names).write(folder, names[0])
    return folder / f"{names[0]}.crt", folder / f"{names[0]}.key"
