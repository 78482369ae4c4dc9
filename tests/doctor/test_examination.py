"""What is collected of a configuration to be asked, and what comes of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gateway.cli.offline import SystemTime, compile_offline
from gateway.doctor.examination import (
    certificate_probes,
    endpoint_probes,
    examine,
    issuer_probes,
    listen_probes,
    sinks_of,
    store_probe,
)
from gateway.telemetry.metrics import Metrics
from tests.support.commands import config
from tests.support.frontends import INCLUDE, write_frontend

TEXT = """
version: 1
listeners: [{bind: '127.0.0.1:8080'}, {bind: '127.0.0.1:0'}]
admin: {bind: '127.0.0.1:0'}
plugins:
  - access_log: {to: [stdout, 'file:///no/such/folder/a.log']}
upstreams:
  a: {endpoints: ['http://127.0.0.1:9001', 'http://127.0.0.1:9002']}
routes:
  - name: a
    to: a
    plugins:
      - jwt:
          issuers:
            - {issuer: 'http://127.0.0.1:9/', audience: x, discovery: true}
            - {issuer: b, audience: x, jwks: 'http://127.0.0.1:9/keys'}
            - {issuer: c, audience: x, algorithms: [HS256], key: 0123456789abcdef0123456789abcdef}
  - name: b
    match: {path: /b}
    to: a
    plugins: [introspection: {url: 'http://127.0.0.1:9/introspect?key=geheim', client_id: a, client_secret: b}]
"""


def late(probes: Any) -> list[tuple[str, str]]:
    return [(probe.late.name, probe.late.address) for probe in probes]


def test_what_is_asked(tmp_path: Path) -> None:
    write_frontend(tmp_path, "web", "bind: ':8082'\n")
    compiled = compile_offline(config(tmp_path, TEXT + INCLUDE))
    spec = compiled.loaded.spec
    assert spec is not None, compiled.problems
    assert list(sinks_of(compiled.generation)) == ["stdout", "file:///no/such/folder/a.log"]
    assert late(endpoint_probes(spec)) == [("a", "127.0.0.1:9001"), ("a", "127.0.0.1:9002")]
    assert late(issuer_probes(compiled.generation)) == [
        ("issuer", "http://127.0.0.1:9/.well-known/openid-configuration"),
        ("issuer", "http://127.0.0.1:9/keys"),
        ("token service", "http://127.0.0.1:9/introspect"),
    ]
    assert [(one.late.purpose, one.late.port) for one in listen_probes(compiled.loaded, spec)] == [
        ("listener", 8080),
        ("frontend web", 8082),
    ]
    assert store_probe(spec, 0, SystemTime(), Metrics()) == []


def test_the_files_of_tls() -> None:
    pair = SimpleNamespace(cert="tls.crt", key="tls.key")
    listener = SimpleNamespace(tls=SimpleNamespace(certificates=(pair,), client_ca="ca.pem"))
    upstream = SimpleNamespace(tls=SimpleNamespace(ca="up.pem", cert="me.pem"))
    found = list(certificate_probes([listener, SimpleNamespace(), upstream, None], Path("/etc")))
    assert [probe.late.file for probe in found] == ["tls.crt", "ca.pem", "me.pem", "up.pem"]
    assert found[0].ask().problem == "/etc/tls.crt: no such file or directory"


def examined(path: Path) -> dict[str, str]:
    """The level of each check."""
    compiled = compile_offline(path)
    folder = path.parent
    _, found = examine(compiled.loaded, compiled.generation, folder, {}, "", SystemTime(), Metrics())
    return {one.check: one.level for one in found}


def test_the_machine_is_looked_at_whatever_the_configuration_is(tmp_path: Path) -> None:
    levels = examined(config(tmp_path, "version: 2\n"))
    assert {"Python", "loop", "parsers"} <= set(levels)
    assert not any(check.startswith(("listener", "upstream", "admin")) for check in levels)


def test_all_of_it(tmp_path: Path) -> None:
    levels = examined(config(tmp_path, TEXT.replace("8080", "0")))
    assert levels["log file:///no/such/folder/a.log"] == "failed"
    assert levels["upstream a"] == "warning"
    assert levels["issuer http://127.0.0.1:9/keys"] == "warning"
