"""Where the admin listener is, which token it gets, and what happens when it does not answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.admin_client import AdminClient, Answer, find_admin
from gateway.config.fields import Bind
from gateway.process.sockets import open_sockets
from tests.support.commands import command, config

FILE = "version: 1\nadmin: {bind: '127.0.0.5:7', token: '${TOKEN:-in-the-file}'}\n"


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_ADMIN_TOKEN", raising=False)
    monkeypatch.delenv("TOKEN", raising=False)


@pytest.fixture
def silence() -> Iterator[socket.socket]:
    """A listening socket that nobody serves."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def test_the_default(tmp_path: Path) -> None:
    assert find_admin(None, tmp_path / "none.yaml", False) == AdminClient("127.0.0.1", 9901)


def test_the_configuration(tmp_path: Path) -> None:
    path = config(tmp_path, FILE)
    assert find_admin(None, path, False) == AdminClient("127.0.0.5", 7, "in-the-file")
    assert find_admin(None, path, True) == AdminClient("127.0.0.5", 7, "in-the-file")


def test_a_configuration_with_mistakes_still_tells(tmp_path: Path) -> None:
    path = config(tmp_path, FILE + "routes: [{}]\n")
    assert find_admin(None, path, True) == AdminClient("127.0.0.5", 7, "in-the-file")
    path.write_text("version: 1\nroutes: [{}]\n")
    assert find_admin(None, path, False) == AdminClient("127.0.0.1", 9901)


@pytest.mark.parametrize(
    "text", ["version: [", "version: 1\nadmin: {bind: nonsense}\n", "version: 1\nadmin: {bind: [1]}\n"]
)
def test_a_configuration_that_does_not_tell(tmp_path: Path, text: str) -> None:
    path = config(tmp_path, text)
    assert find_admin(None, path, False).address == "127.0.0.1:9901"
    with pytest.raises(SystemExit):
        find_admin(None, path, True)
    assert find_admin("a:1", path, True).address == "a:1"


@pytest.mark.parametrize(
    ("admin", "named", "address", "token"),
    [
        ("127.0.0.5:7", False, "127.0.0.5:7", "in-the-file"),
        ("10.0.0.1:7", False, "10.0.0.1:7", ""),
        ("10.0.0.1:7", True, "10.0.0.1:7", "in-the-file"),
        ("[::1]:7", False, "[::1]:7", ""),
        (":7", False, "127.0.0.1:7", ""),
        ("0.0.0.0:7", False, "127.0.0.1:7", ""),
        ("[::]:7", False, "[::1]:7", ""),
    ],
)
def test_the_token_goes_only_where_it_belongs(
    tmp_path: Path, admin: str, named: bool, address: str, token: str
) -> None:
    client = find_admin(admin, config(tmp_path, FILE), named)
    assert (client.address, client.token) == (address, token)
    assert "in-the-file" not in repr(client)


def test_the_environment_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ADMIN_TOKEN", "mine")
    assert find_admin(None, config(tmp_path, FILE), False).token == "mine"


def test_nobody_answers(unused_tcp_port: int) -> None:
    for name in ("status", "reload"):
        result = command(name, "--admin", f"127.0.0.1:{unused_tcp_port}", "-c", "none.yaml")
        assert result.exit_code == 3
        expected = f"no gateway's admin listener at 127.0.0.1:{unused_tcp_port}: connection refused\n"
        assert result.stderr == expected


def test_something_else_answers(silence: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.admin_client.TIMEOUT", 0.05)
    result = command("status", "--admin", f"127.0.0.1:{silence.getsockname()[1]}", "-c", "none.yaml")
    assert (result.exit_code, "it did not answer in time" in result.stderr) == (3, True)


def test_what_is_no_address() -> None:
    result = command("status", "--admin", "nonsense", "-c", "none.yaml")
    assert result.exit_code == 2
    assert "has no port" in result.stderr


def test_no_such_host() -> None:
    result = command("status", "--admin", "no-such-host.invalid:1", "-c", "none.yaml")
    assert result.exit_code == 3


def test_why_it_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    client = AdminClient("a", 1)
    for answer, said in [
        (Answer(401, {"detail": "x"}), "a:1 refuses (401): it wants a token: set GATEWAY_ADMIN_TOKEN"),
        (Answer(403, {"detail": "x"}), "a:1 refuses (403): x"),
        (Answer(500, None), "a:1 refuses (500): no reason given"),
    ]:
        with pytest.raises(SystemExit) as caught:
            client.refused(answer)
        assert caught.value.code == 1
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["unix:{}/admin", "unix:@aiogate-test-admin-client"])
def test_a_unix_socket(tmp_path: Path, name: str) -> None:
    bind = Bind.parse(name.format(tmp_path))
    client = find_admin(str(bind), tmp_path / "none.yaml", False)
    assert client.address == str(bind)
    with pytest.raises(SystemExit):
        client.get("/")
    (listener,) = open_sockets(bind)
    with listener:
        listener.setblocking(True)
        asked: list[bytes] = []

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                asked.append(peer.recv(65536))
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=answer)
        thread.start()
        assert client.get("/api/x") == {}
        thread.join()
    assert b"Host: localhost\r\n" in asked[0]
