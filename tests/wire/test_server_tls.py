"""Which certificate a client is shown, which sessions are resumed, and what a change of files changes."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.wire.certificates import CertificateError, KeyPair
from gateway.wire.server_tls import Certificates, ServerTls, ServerTlsSettings
from tests.support.certificates import authority, client_context, issue, vouched
from tests.support.handshakes import Connected, shake

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def pair(folder: Path, common_name: str, *names: str, served: tuple[str, ...] = ()) -> KeyPair:
    vouched(common_name, *names).write(folder, common_name)
    return KeyPair(folder / f"{common_name}.crt", folder / f"{common_name}.key", served)


def read(*pairs: KeyPair, **options: Any) -> Certificates:
    return Certificates(ServerTlsSettings(pairs, **options), time.time())


def asking(folder: Path, name: str | None, tls: ServerTls) -> str:
    """The common name of the certificate that is shown to who asks for `name`."""
    context = client_context(folder)
    context.check_hostname = False
    return shake(context, tls.context, name).common_name


def test_the_certificate_is_chosen_by_name(tmp_path: Path) -> None:
    first = pair(tmp_path, "first", "a.test", "*.b.test")
    second = pair(tmp_path, "second", "c.b.test", "d.test")
    third = pair(tmp_path, "third", "not-asked.test", served=("e.test", "*.f.test"))
    tls = ServerTls(read(first, second, third))
    chosen = {
        "a.test": "first",
        "x.b.test": "first",
        "c.b.test": "second",
        "C.B.Test": "second",
        "d.test": "second",
        "e.test": "third",
        "x.f.test": "third",
        "not-asked.test": "first",
        "x.y.f.test": "first",
        "f.test": "first",
        "unknown": "first",
    }
    assert {name: asking(tmp_path, name, tls) for name in chosen} == chosen
    assert asking(tmp_path, None, tls) == "first"
    assert repr(tls) == "<ServerTls a.test, c.b.test, e.test>"


def test_a_name_that_two_have_is_the_first_ones(tmp_path: Path) -> None:
    certificates = read(pair(tmp_path, "first", "a.test"), pair(tmp_path, "second", "a.test"))
    assert asking(tmp_path, "a.test", ServerTls(certificates)) == "first"
    ((number, text),) = certificates.warnings
    assert number == 1
    assert text.endswith("second.crt is for a.test, and so is one before it, which is used")


def test_without_alternative_names_it_is_the_common_name(tmp_path: Path) -> None:
    assert read(pair(tmp_path, "Old.test")).expiries[0][0] == "old.test"


def test_one_that_has_expired_is_served_with_a_warning(tmp_path: Path) -> None:
    issue("late", ["late.test"], authority(), days=-1).write(tmp_path, "late")
    certificates = read(KeyPair(tmp_path / "late.crt", tmp_path / "late.key"))
    ((_, text),) = certificates.warnings
    assert text.endswith("late.crt has expired")
    ((name, until),) = certificates.expiries
    assert name == "late.test"
    assert until == pytest.approx(time.time() - 86400, abs=60)


@pytest.mark.parametrize(("version", "spoken"), (("1.2", VERSIONS), ("1.3", VERSIONS[1:])))
def test_versions(tmp_path: Path, version: str, spoken: tuple[ssl.TLSVersion, ...]) -> None:
    tls = ServerTls(read(pair(tmp_path, "first", "localhost"), min_version=version))
    for asked in VERSIONS:
        if asked in spoken:
            assert shake(client_context(tmp_path, version=asked), tls.context).client.cipher()
        else:
            with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
                shake(client_context(tmp_path, version=asked), tls.context)


def test_only_ciphers_with_forward_secrecy(tmp_path: Path) -> None:
    tls = ServerTls(read(pair(tmp_path, "first", "localhost")))
    names = [cipher["name"] for cipher in tls.context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert len(names) == 6
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "POLY1305" in name) for name in names)
    assert tls.context.options & ssl.OP_NO_RENEGOTIATION
    assert tls.context.options & ssl.OP_NO_COMPRESSION


def in_another_process(check: Callable[[], bool]) -> bool:
    """What `check` says in a process that was forked from this one."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if check() else 1)
        except BaseException:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("asks", (False, True))
def test_forked_processes_resume_each_others_sessions(tmp_path: Path, version: ssl.TLSVersion, asks: bool) -> None:
    (tmp_path / "ca.crt").write_bytes(authority().pem)
    options = {"client_ca": tmp_path / "ca.crt"} if asks else {}
    tls = ServerTls(read(pair(tmp_path, "first", "localhost"), **options))
    context = client_context(tmp_path, vouched("ada") if asks else None, version)

    def resumed(connected: Connected, session: ssl.SSLSession | None) -> Connected:
        again = shake(context, tls.context, session=session)
        assert again.client.session_reused
        assert bool(again.server.getpeercert(True)) is asks
        return again

    def elsewhere() -> bool:
        here = resumed(begun, begun.client.session)
        before = tls.context
        tls.adopt(read(pair(tmp_path, "second", "localhost"), **options))
        assert tls.context is before
        resumed(here, here.client.session)
        return shake(context, tls.context).common_name == "second"

    begun = shake(context, tls.context)
    assert begun.common_name == "first"
    assert in_another_process(elsewhere)


def test_client_certificates(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(authority().pem)
    mine = pair(tmp_path, "first", "localhost")
    required = ServerTls(read(mine, client_ca=tmp_path / "ca.crt"))
    optional = ServerTls(read(mine, client_ca=tmp_path / "ca.crt", client_required=False))
    known = client_context(tmp_path, vouched("ada"))
    for tls in (required, optional):
        assert shake(known, tls.context).server.getpeercert(True) == vouched("ada").der
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            shake(client_context(tmp_path, issue("eve")), tls.context)
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN"):
        shake(client_context(tmp_path), required.context)
    assert shake(client_context(tmp_path), optional.context).server.getpeercert() is None


def test_other_authorities_end_what_was_resumed(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(authority().pem)
    mine = pair(tmp_path, "first", "localhost")
    tls = ServerTls(read(mine, client_ca=tmp_path / "ca.crt"))
    context = client_context(tmp_path, vouched("ada"))
    session = shake(context, tls.context).client.session
    (tmp_path / "ca.crt").write_bytes(issue("another", authority=True).pem)
    assert tls.adopt(read(mine, client_ca=tmp_path / "ca.crt"))
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        shake(context, tls.context, session=session)


def test_changes_are_seen_by_content(tmp_path: Path) -> None:
    mine = pair(tmp_path, "first", "localhost")
    certificates = read(mine)
    os.utime(mine.cert)
    assert not certificates.changed()
    vouched("second", "localhost").write(tmp_path, "first")
    assert certificates.changed()
    assert not read(mine).changed()
    mine.key.unlink()
    assert certificates.changed()


def test_what_is_no_use_says_which_it_is(tmp_path: Path) -> None:
    good, bad = pair(tmp_path, "good", "a.test"), KeyPair(tmp_path / "bad.crt", tmp_path / "bad.key")
    with pytest.raises(CertificateError, match=r"bad\.crt cannot be read: no such file") as caught:
        read(good, bad)
    assert (caught.value.number, caught.value.key) == (1, "cert")
    with pytest.raises(CertificateError, match=r"ca\.crt cannot be read") as caught:
        read(good, client_ca=tmp_path / "ca.crt")
    assert (caught.value.number, caught.value.key) == (None, "client_ca")
