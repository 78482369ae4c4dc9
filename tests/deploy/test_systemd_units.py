"""The units of deploy/systemd: what they promise fits what the gateway does."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from gateway.config.fields import Bind
from gateway.config.specs import ConfigSpec, LimitsSpec, TimeoutsSpec
from gateway.process import systemd
from gateway.process.sockets import BACKLOG
from gateway.units import Duration

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "systemd"


def unit(name: str) -> configparser.ConfigParser:
    """A unit in which every key stands once."""
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((FOLDER / name).read_text())
    return parser


@pytest.fixture
def service() -> configparser.SectionProxy:
    return unit("aiogate.service")["Service"]


def test_a_stop_has_the_time_that_it_needs(service: configparser.SectionProxy) -> None:
    assert Duration(service["TimeoutStopSec"]) > TimeoutsSpec().drain
    # The supervisor stops its workers; what is left at the end of the time is killed.
    assert service["KillMode"] == "mixed"
    assert "KillSignal" not in service


def test_it_is_told_of_readiness_and_watched(service: configparser.SectionProxy) -> None:
    assert service["Type"] == "notify"
    assert Duration(service["WatchdogSec"]) >= 10
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_a_wrong_configuration_is_not_tried_again(service: configparser.SectionProxy) -> None:
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"


def test_descriptors_for_every_client_and_its_upstream(service: configparser.SectionProxy) -> None:
    assert int(service["LimitNOFILE"]) > 2 * LimitsSpec().connections


def test_it_may_do_little(service: configparser.SectionProxy) -> None:
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    assert "User" not in service


def test_it_runs_the_configuration_of_the_image_too(service: configparser.SectionProxy) -> None:
    assert re.match(r"/\S+/gateway run -c /etc/aiogate/routes.yaml( |$)", service["ExecStart"])


def test_the_socket_is_the_default_listeners() -> None:
    socket = unit("aiogate.socket")["Socket"]
    bind = Bind.parse(socket["ListenStream"])
    listener = ConfigSpec(version=1).listeners[0].bind

    assert systemd.assign([("", listener)], [("aiogate.socket", (bind.host, bind.port))]) == [0]
    assert int(socket["Backlog"]) == BACKLOG
    assert socket.get("Accept", "no") == "no"
