"""PEM files: what is read of them, and what is said of those that are no use."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from gateway.wire.certificates import CertificateError, KeyPair, digest_of, load_authorities, names_of, read_certificate
from tests.support.certificates import authority, issue, vouched


def context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def written(folder: Path, cert: bytes | None, key: bytes | None) -> KeyPair:
    for name, content in (("a.crt", cert), ("a.key", key)):
        if content is not None:
            (folder / name).write_bytes(content)
    return KeyPair(folder / "a.crt", folder / "a.key")


def test_a_good_pair(tmp_path: Path) -> None:
    mine = vouched("a", "A.test", "*.b.test", "spiffe://x/y")
    assert names_of(written(tmp_path, mine.pem, mine.key_pem()).load_into(context())) == ("a.test", "*.b.test")


def test_both_in_one_file_with_intermediate_certificates(tmp_path: Path) -> None:
    mine = vouched("a", "a.test")
    (tmp_path / "all.pem").write_bytes(mine.pem + authority().pem + mine.key_pem())
    pair = KeyPair(tmp_path / "all.pem", tmp_path / "all.pem")
    assert names_of(pair.load_into(context())) == ("a.test",)


MINE, OTHER = vouched("a", "a.test"), vouched("b", "b.test")


@pytest.mark.parametrize(
    ("cert", "key", "at", "message"),
    (
        (None, MINE.key_pem(), "cert", "a.crt cannot be read: no such file or directory"),
        (MINE.pem, None, "key", "a.key cannot be read: no such file or directory"),
        (b"rubbish", MINE.key_pem(), "cert", "a.crt holds no certificate in PEM"),
        (b"", MINE.key_pem(), "cert", "a.crt holds no certificate in PEM"),
        (MINE.pem[:200] + b"\n-----END CERTIFICATE-----\n", MINE.key_pem(), "cert", "a.crt holds no certificate"),
        (MINE.pem, OTHER.key_pem(), "key", "a.key is not the key of"),
        (MINE.pem, MINE.key_pem("hunter2"), "key", "the key is encrypted"),
        (MINE.pem, b"rubbish", "key", "a.key holds no private key in PEM"),
    ),
)
def test_a_bad_pair(tmp_path: Path, cert: bytes | None, key: bytes | None, at: str, message: str) -> None:
    with pytest.raises(CertificateError) as caught:
        written(tmp_path, cert, key).load_into(context())
    assert message in str(caught.value)
    assert caught.value.key == at
    assert "PRIVATE" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="is a directory"):
        read_certificate(tmp_path)


def test_authorities(tmp_path: Path) -> None:
    store = context()
    path = tmp_path / "ca.crt"
    path.write_bytes(authority().pem + issue("other", authority=True).pem)
    load_authorities(store, path, "ca")
    assert store.cert_store_stats()["x509_ca"] == 2
    path.write_bytes(b"rubbish")
    with pytest.raises(CertificateError, match="holds no certificate in PEM"):
        load_authorities(store, path, "ca")
    path.unlink()
    with pytest.raises(CertificateError, match="cannot be read") as caught:
        load_authorities(store, path, "ca")
    assert caught.value.key == "ca"


def test_a_digest_is_of_contents_and_their_order(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"a")
    two.write_bytes(b"b")
    assert digest_of([one, two]) != digest_of([two, one])
    before = digest_of([one, None, two])
    two.unlink()
    missing = digest_of([one, None, two])
    assert missing != before
    two.write_bytes(b"")
    assert digest_of([one, None, two]) == missing
