"""What a configuration asks of the machine."""

from __future__ import annotations

from pathlib import Path

from gateway.config.load import load
from gateway.doctor.needs import RESERVE, Needs, needs_of
from tests.support.commands import config
from tests.support.frontends import INCLUDE, write_frontend

TEXT = """
version: 1
listeners: [{bind: ':8080'}, {bind: ':8081'}]
limits: {connections: 100}
upstreams:
  a: {endpoints: ['http://10.0.0.1:80', 'http://10.0.0.2:80'], pool: {max_connections: 10}}
  b: {endpoints: ['http://10.0.0.2:80'], pool: {max_connections: 7}}
state: {redis: {url: 'redis://127.0.0.1', max_connections: 5}}
routes: [{name: a, to: a}, {name: b, match: {path: /b}, to: b}]
"""


def needs(folder: Path, text: str, workers: int = 1, files: int = 0) -> Needs:
    loaded = load(config(folder, text), {})
    assert loaded.spec is not None, loaded.problems
    return needs_of(loaded.spec, loaded.frontends, workers, files)


def test_of_everything(tmp_path: Path) -> None:
    found = needs(tmp_path, TEXT, workers=3, files=2)
    assert (found.clients, found.listeners, found.upstreams, found.store) == (200, 2, 27, 5)
    # Two upstreams go to one address.
    assert (found.address, found.to_address) == ("10.0.0.2:80", 17)
    assert found.surely == 200 + 2 + 5 + 2 + RESERVE
    assert found.at_most == found.surely + 27


def test_of_nothing(tmp_path: Path) -> None:
    found = needs(tmp_path, "version: 1\n")
    assert (found.clients, found.listeners, found.upstreams, found.store) == (20_000, 1, 0, 0)
    assert (found.address, found.to_address) == ("", 0)


def test_a_frontend_has_a_listener_and_a_limit_of_its_own(tmp_path: Path) -> None:
    write_frontend(tmp_path, "mobile", "bind: ':8082'\nlimits: {connections: 30}\n")
    write_frontend(tmp_path, "web", "bind: ':8083'\n")
    found = needs(tmp_path, "version: 1\nlimits: {connections: 100}\n" + INCLUDE)
    assert (found.clients, found.listeners) == (230, 3)
