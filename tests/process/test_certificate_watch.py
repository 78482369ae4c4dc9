"""Looking at certificate files: what is put into service, what is not, and what is said of it."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from gateway.process import certificate_watch
from gateway.process.certificate_watch import CertificateWatch
from gateway.wire.certificates import KeyPair
from gateway.wire.server_tls import Certificates, ServerTls, ServerTlsSettings
from gateway.wire.upstream_tls import UpstreamTls, UpstreamTlsSettings
from tests.support.certificates import authority, issue, write_server
from tests.support.gateways import gateway
from tests.support.polling import eventually


def server_tls(folder: Path) -> ServerTls:
    write_server(folder)
    pair = KeyPair(folder / "server.crt", folder / "server.key")
    return ServerTls(Certificates(ServerTlsSettings((pair,)), time.time()))


async def test_one_look(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.process")
    tls = server_tls(tmp_path)
    context, before = tls.context, tls.certificates
    upstream = UpstreamTls(UpstreamTlsSettings(ca=tmp_path / "ca.crt"))
    before_upstream = upstream.context
    async with gateway(tls=tls) as running, gateway() as plain:
        watch = CertificateWatch([running.listener, plain.listener], lambda: [upstream], time.time)
        await watch.look()
        assert (tls.certificates, upstream.context) == (before, before_upstream)
        assert not caplog.records
        issue("late", ["late.test"], authority(), days=-1).write(tmp_path, "server")
        (tmp_path / "ca.crt").write_bytes(issue("another", authority=True).pem)
        await watch.look()
        assert [name for name, _ in tls.certificates.expiries] == ["late.test"]
        assert upstream.context is not before_upstream
        assert tls.context is context
        assert f"new certificates are in service on {running.listener.address}: late.test" in caplog.text
        assert "has expired" in caplog.text
        await watch.look()
    assert len(caplog.records) == 3


async def test_files_that_are_no_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tls = server_tls(tmp_path)
    upstream = UpstreamTls(UpstreamTlsSettings(ca=tmp_path / "ca.crt"))
    before, before_upstream = tls.certificates, upstream.context
    async with gateway(tls=tls) as running:
        watch = CertificateWatch([running.listener], lambda: [upstream], time.time)
        (tmp_path / "server.key").unlink()
        (tmp_path / "ca.crt").write_bytes(b"rubbish")
        for _ in range(3):
            await watch.look()
        assert (tls.certificates, upstream.context) == (before, before_upstream)
        assert len(caplog.records) == 2, "each is told once"
        write_server(tmp_path)
        await watch.look()
        assert upstream.digest == upstream.settings.digest()


async def test_it_goes_on_after_a_mistake_of_ours(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = 0

    def upstreams() -> list[UpstreamTls]:
        nonlocal looks
        looks += 1
        raise RuntimeError("oops")

    monkeypatch.setattr(certificate_watch, "INTERVAL", 0.001)
    watch = CertificateWatch([], upstreams, time.time)
    assert repr(watch) == "<CertificateWatch off>"
    await watch.stop()
    watch.start()
    await eventually(lambda: looks > 2)
    assert repr(watch) == "<CertificateWatch on>"
    await watch.stop()
    assert "certificates could not be looked at" in caplog.text
