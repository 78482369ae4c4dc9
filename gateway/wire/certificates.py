"""Certificates and keys in PEM files: read, checked, and known by what is in them."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

# TLS 1.2 with forward secrecy and authenticated encryption only: Mozilla's "intermediate", but for DHE, whose few
# clients have ECDHE too. TLS 1.3 has no others.
CIPHERS = ":".join(
    f"ECDHE-{signature}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for signature in ("ECDSA", "RSA")
)
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class CertificateError(ValueError):
    """A file that cannot be used. `key` is the key of the configuration that names it, `number` which certificate."""

    def __init__(self, key: str, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.key = key
        self.number = number


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The files of a certificate and its key, and the names it is for, () for those in the certificate."""

    cert: Path
    key: Path
    names: tuple[str, ...] = ()

    def load_into(self, context: ssl.SSLContext) -> x509.Certificate:
        """Let a context show the certificate, which is returned. CertificateError."""
        leaf = read_certificate(self.cert)
        _read("key", self.key)
        try:
            context.load_cert_chain(self.cert, self.key, _no_password)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise CertificateError("key", f"{self.key} is not the key of {self.cert}") from None
            if error.reason is None:
                raise CertificateError("key", f"{self.key} holds no private key in PEM") from None
            reason = error.reason.lower().replace("_", " ")
            raise CertificateError("cert", f"{self.cert} and {self.key} are no use: {reason}") from None
        return leaf


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate in a PEM file. CertificateError."""
    try:
        return x509.load_pem_x509_certificate(_read("cert", path))
    except CertificateError:
        raise
    except ValueError:
        raise CertificateError("cert", f"{path} holds no certificate in PEM") from None


def load_authorities(context: ssl.SSLContext, path: Path, key: str) -> None:
    """Let a context believe the authorities in a PEM file. CertificateError, with `key`."""
    _read(key, path)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise CertificateError(key, f"{path} holds no certificate in PEM") from None


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Whom a server's certificate is for, in lower case: its alternative names, or else its common name."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return tuple(name.lower() for name in found.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(one.value).lower() for one in common)


def digest_of(paths: Iterable[Path | None]) -> str:
    """What is in these files, in short; one that cannot be read counts as empty."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            content = path.read_bytes() if path is not None else b""
        except OSError:
            content = b""
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _read(key: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(key, f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None


def _no_password() -> str:
    # Without an answer of ours OpenSSL would ask the terminal.
    raise CertificateError("key", "the key is encrypted, and nobody is there to type a password")
