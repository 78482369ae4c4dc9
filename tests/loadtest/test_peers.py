"""The peers' configurations are filled in whole, and the kernel's files are read right."""

import pytest
import yaml

from loadtest.backend import SMALL_BODY
from loadtest.bench.measure import parse_kilobytes, parse_stat, parse_stolen
from loadtest.bench.peers import MODES, PEERS, TEMPLATES, parse_version, render
from loadtest.bench.process import HarnessError
from loadtest.bench.scenarios import route_lines

VALUES = {
    "PORT": 21001,
    "ADMIN": 21002,
    "BACKEND": 21003,
    "FLAPPING": 21004,
    "DIR": "/tmp/x",
    "USER": "root",
    "FILES": 20000,
    "BODY": SMALL_BODY.decode(),
    "UPSTREAMS": "",
    "ROUTES": "",
    "TLS": "",
    "CERTIFICATE": "",
}
TEMPLATE = "always\n  # [full]\nonly full @PORT@\n  # [/full]\n# [bare]\nonly bare\n# [/bare]\n"


def test_a_mode_keeps_its_own_lines():
    assert render(TEMPLATE, "full", VALUES) == "always\nonly full 21001\n"
    assert render(TEMPLATE, "bare", VALUES) == "always\nonly bare\n"


@pytest.mark.parametrize(
    ("template", "complaint"),
    (
        ("@NOTHING@", "@NOTHING@"),
        ("# [full]\nx", "never closed"),
        ("# [/full]", "stray"),
        ("# [full]\n# [bare]\n", "stray"),
        ("# [ful]\n", "stray"),
    ),
)
def test_a_broken_template_is_an_error(template, complaint):
    with pytest.raises(HarnessError, match=complaint):
        render(template, "full", VALUES)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", sorted(path.name for path in TEMPLATES.iterdir()))
def test_every_template_is_filled_in(name, mode):
    text = render((TEMPLATES / name).read_text(), mode, VALUES)
    assert "21001" in text
    if name.endswith(".yaml"):
        assert yaml.safe_load(text)


@pytest.mark.parametrize("mode", MODES)
def test_only_the_full_gateway_has_plugins(mode):
    document = yaml.safe_load(render((TEMPLATES / "gateway.yaml").read_text(), mode, VALUES))
    assert ("plugins" in document) == (mode == "full")


@pytest.mark.parametrize("count", (0, 10, 1000))
def test_routes_are_put_into_the_configuration(count):
    values = {**VALUES, "UPSTREAMS": "", "ROUTES": route_lines(count)}
    routes = yaml.safe_load(render((TEMPLATES / "gateway.yaml").read_text(), "bare", values))["routes"]
    assert len(routes) == 4 + count
    assert len({route["name"] for route in routes}) == len(routes)


def test_every_peer_has_its_template_and_says_how_to_get_it():
    for peer in PEERS.values():
        assert peer.install
        assert peer.template is None or (TEMPLATES / peer.template).is_file()


@pytest.mark.parametrize(
    ("text", "version"),
    (
        ("nginx version: nginx/1.22.1\n", "1.22.1"),
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nBugs: 9.9.9", "2.6.12"),
        ("\n/x/python3.11.7/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL\n", "1.40.0"),
        ("no such command", "?"),
    ),
)
def test_a_version_is_found_in_what_programs_say(text, version):
    assert parse_version(text) == version


def test_the_answer_has_123_bytes():
    assert len(SMALL_BODY) == 123


def test_a_command_may_have_blanks_and_brackets_in_its_name(monkeypatch):
    monkeypatch.setattr("loadtest.bench.measure.TICK", 100)
    line = "7 (a b) c) S 3 7 7 0 -1 0 1 2 3 4 150 50 9 9 20 0 1 0"
    assert parse_stat(line) == (3, 2.0)


def test_memory_is_in_bytes():
    assert parse_kilobytes("VmPeak:\t 9 kB\nVmRSS:\t    12 kB\n", "VmRSS") == 12288
    with pytest.raises(ValueError, match="VmHWM"):
        parse_kilobytes("VmRSS:\t 12 kB\n", "VmHWM")


def test_stolen_time_is_the_eighth_field():
    assert parse_stolen("cpu  10 0 10 70 0 0 0 10 5 5\ncpu0 1 2 3\n") == (10, 100)
