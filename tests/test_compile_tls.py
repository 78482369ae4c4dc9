"""Files that a configuration names: read once, told where they are no use, kept where nothing changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.compile import Generation, compile_table
from gateway.config.load import Loaded, load
from gateway.library import Library
from gateway.process.listening import places
from gateway.telemetry.metrics import Metrics
from gateway.testing import make_env
from tests.support.certificates import authority, issue, vouched, write_server
from tests.support.frontends import INCLUDE, write_frontend
from tests.support.runtimes import write_config

CERTIFICATE = "{cert: server.crt, key: server.key}"
TLS = f"tls: {{certificates: [{CERTIFICATE}]}}"
MAIN = f"version: 1\nlisteners: [{{bind: '127.0.0.1:1', {TLS}}}, {{bind: '127.0.0.1:2', redirect: {{https: 8443}}}}]\n"


def compiled(folder: Path, text: str, before: Generation | None = None) -> tuple[Generation | None, list[str], Loaded]:
    loaded = load(write_config(folder, text), {})
    env = replace(make_env(metrics=Metrics()), folder=folder)
    generation, problems = compile_table(loaded, env, Metrics(), Library(folder), before)
    places_ = [str(problem).replace(f"{folder}/", "") for problem in problems]
    return generation, places_, loaded


def upstream(options: str, scheme: str = "https") -> str:
    return f"version: 1\nupstreams: {{up: {{endpoints: ['{scheme}://127.0.0.1:9'], tls: {{{options}}}}}}}\n"


def test_places(tmp_path: Path) -> None:
    write_server(tmp_path)
    write_frontend(tmp_path, "mobile", f"bind: 127.0.0.1:3\n{TLS}\n")
    generation, problems, _ = compiled(tmp_path, MAIN + INCLUDE)
    assert generation is not None, problems
    secure, plain, own = places(generation)
    assert [str(one) for one in (secure, plain, own)] == ["127.0.0.1:1 with TLS", "127.0.0.1:2", "127.0.0.1:3 with TLS"]
    assert (secure.settings.scheme, plain.settings.scheme, own.settings.scheme) == ("https", "http", "https")
    assert secure.certificates is own.certificates, "read once"
    assert secure.settings.redirect is None
    assert plain.settings.redirect is not None
    assert (plain.settings.redirect.port, plain.settings.redirect.status) == (8443, 308)
    assert secure.settings.closing_timeout < plain.settings.closing_timeout


HEADERS = "client_ca: ca.crt, client_headers: {subject: X-Client, san: X-San}"


def test_client_headers_are_nobodys_to_send(tmp_path: Path) -> None:
    write_server(tmp_path)
    text = MAIN.replace("certificates:", f"{HEADERS}, certificates:")
    generation, problems, _ = compiled(tmp_path, text)
    assert generation is not None, problems
    assert generation.table.identity_headers == {"X-Client", "X-San"}
    assert {b"x-client", b"x-san"} <= generation.table.passed_on
    secure, plain = places(generation)
    assert secure.settings.client_headers == (("subject", "X-Client"), ("san", "X-San"))
    assert plain.settings.client_headers == ()
    assert plain.settings.untrusted_policy.drops(b"x_client")
    assert plain.settings.trusted_policy.drops(b"X-San")


@pytest.mark.parametrize(
    ("change", "problem", "at"),
    (
        (("server.crt", "absent.crt"), "absent.crt cannot be read: no such file or directory", "absent"),
        (("server.key", "other.key"), "other.key is not the key of server.crt", "other"),
        (("server.crt", "late.crt"), "server.key is not the key of late.crt", "server.key"),
        ((CERTIFICATE, "{cert: late.pem}"), "warning: late.pem has expired", "{cert"),
        (
            (CERTIFICATE, f"{CERTIFICATE}, {{cert: late.pem, names: [localhost]}}"),
            "is for localhost, and so is one",
            "{cert: late",
        ),
        (("certificates:", "client_ca: absent.crt, certificates:"), "absent.crt cannot be read", "absent"),
        (
            ("certificates:", "client_ca: ca.crt, client_headers: {subject: Via}, certificates:"),
            "Via has a meaning of its own and cannot carry an identity; write X-User-Id",
            "{subject",
        ),
        (
            ("certificates:", "client_ca: ca.crt, client_headers: {subject: X-A, san: x_a}, certificates:"),
            "x_a is set twice",
            "{subject",
        ),
    ),
)
def test_listeners(tmp_path: Path, change: tuple[str, str], problem: str, at: str) -> None:
    write_server(tmp_path)
    vouched("other").write(tmp_path, "other")
    late = issue("late", ["late.test"], days=-1)
    late.write(tmp_path, "late")
    (tmp_path / "late.pem").write_bytes(late.pem + late.key_pem())
    text = MAIN.replace(*change)
    generation, problems, _ = compiled(tmp_path, text)
    (found,) = [one for one in problems if problem in one]
    # Of a value in another place than the one that names it nobody would make sense.
    named = text.splitlines()[1][int(found.split(":")[2]) - 1 :]
    assert named.startswith(at), (found, named)
    assert (generation is not None) == all("warning" in one for one in problems)


@pytest.mark.parametrize(
    ("options", "problem"),
    (
        ("ca: absent.crt", "absent.crt cannot be read"),
        ("cert: server.crt, key: other.key", "other.key is not the key of server.crt"),
        ("cert: server.crt", "server.crt holds no private key in PEM"),
        ("verify: false", "warning: whoever answers in place of up is believed"),
    ),
)
def test_upstreams(tmp_path: Path, options: str, problem: str) -> None:
    write_server(tmp_path)
    vouched("other").write(tmp_path, "other")
    generation, problems, _ = compiled(tmp_path, upstream(options))
    assert sum(problem in one for one in problems) == 1, problems
    assert (generation is not None) == ("warning" in problem)


def test_what_did_not_change_is_kept(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(authority().pem)
    first, _, _ = compiled(tmp_path, upstream("ca: ca.crt"))
    assert first is not None
    pool = first.endpoints["up", "127.0.0.1:9"].pool
    before = pool.limits.tls
    assert before is not None

    def after(options: str) -> object:
        generation, problems, _ = compiled(tmp_path, upstream(options), first)
        assert generation is not None, problems
        generation.take_over()
        assert generation.endpoints["up", "127.0.0.1:9"].pool is pool
        return pool.limits.tls

    assert after("ca: ca.crt") is before
    assert after("ca: ca.crt, server_name: a.test") is not before
    assert after("ca: ca.crt") is before
    (tmp_path / "ca.crt").write_bytes(issue("another", authority=True).pem)
    assert after("ca: ca.crt") is not before


def test_upstreams_that_say_the_same_share_a_context(tmp_path: Path) -> None:
    text = "version: 1\nupstreams: {a: {endpoints: ['https://a', 'http://b']}, c: {endpoints: ['https://c']}}\n"
    generation, problems, _ = compiled(tmp_path, text)
    assert generation is not None, problems
    a, b, c = (generation.endpoints[key].pool.limits.tls for key in (("a", "a:443"), ("a", "b:80"), ("c", "c:443")))
    assert a is c
    assert a is not None
    assert b is None
