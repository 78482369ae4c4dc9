"""Asks the admin listener of a running gateway."""

from __future__ import annotations

import http.client
import json
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from gateway.config.fields import Bind
    from gateway.config.load import Loaded

DEFAULT = "127.0.0.1:9901"
TOKEN_VARIABLE = "GATEWAY_ADMIN_TOKEN"
TIMEOUT = 30.0
EXIT_REFUSED = 1
EXIT_UNREACHABLE = 3
# Where a listener on every interface is reached from this machine.
SELF = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the admin listener said; `data` is None where it was no JSON."""

    status: int
    data: Any

    @property
    def accepted(self) -> bool:
        """Was it done?"""
        return 200 <= self.status < 300


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    path = ""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect("\0" + self.path[1:] if self.path.startswith("@") else self.path)


@dataclass(frozen=True, slots=True)
class AdminClient:
    """Asks one admin listener, at a Unix socket where `path` is set. `token` is empty for none."""

    host: str
    port: int
    token: str = field(default="", repr=False)
    path: str = ""

    @property
    def address(self) -> str:
        """host:port, or unix:PATH."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def ask(self, method: str, path: str, data: object = None) -> Answer:
        """One request, with `data` as JSON unless it is None. Exits with 3 when nobody answers."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        if self.path:
            connection = _UnixConnection("localhost", timeout=TIMEOUT)
            connection.path = self.path
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            body = json.dumps(data) if data is not None else None
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            reason = "it did not answer in time" if isinstance(error, TimeoutError) else _reason(error)
            _leave(f"no gateway's admin listener at {self.address}: {reason}", EXIT_UNREACHABLE)
        finally:
            connection.close()
        try:
            return Answer(response.status, json.loads(answer))
        except ValueError:
            return Answer(response.status, None)

    def get(self, path: str) -> Any:
        """The JSON at `path`. Exits with 1 when it is refused, with 3 when nobody answers."""
        answer = self.ask("GET", path)
        if not answer.accepted:
            self.refused(answer)
        return answer.data

    def refused(self, answer: Answer) -> NoReturn:
        """Say why, and exit with 1."""
        detail = answer.data.get("detail") if isinstance(answer.data, dict) else None
        if answer.status == 401:
            detail = f"it wants a token: set {TOKEN_VARIABLE}, or name the configuration with -c"
        _leave(f"{self.address} refuses ({answer.status}): {detail or 'no reason given'}", EXIT_REFUSED)


def find_admin(admin: str | None, config: Path, named: bool) -> AdminClient:
    """The client for `--admin`, else for the address in `config`, else for the default.

    `named` says that the user named the file: then its token is sent to wherever `admin` points, else only to the
    address in the file. The environment's token goes before the file's.
    """
    from gateway.config.fields import Bind
    from gateway.config.load import load

    bind, token = Bind.parse(DEFAULT), ""
    if named or config.is_file():
        loaded = load(config, os.environ)
        found, token = _of(loaded)
        if found is None and named and admin is None:
            _leave(f"{config} does not say where the admin listener is; give --admin HOST:PORT", EXIT_REFUSED)
        bind = found or bind
    if admin is not None:
        try:
            wanted = Bind.parse(admin)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--admin") from None
        token = token if named or wanted == bind else ""
        bind = wanted
    token = os.environ.get(TOKEN_VARIABLE) or token
    return AdminClient(SELF.get(bind.host, bind.host), bind.port, token, bind.path)


def _of(loaded: Loaded) -> tuple[Bind | None, str]:
    """Bind and token of a configuration, also of one that has mistakes elsewhere: what runs is an older one."""
    from gateway.config.fields import Bind

    admin = loaded.root.child("admin") if loaded.root is not None else None
    bind, token = (admin.child("bind"), admin.child("token")) if admin is not None else (None, None)
    secret = token.value if token is not None and isinstance(token.value, str) else ""
    if loaded.root is None:
        return None, ""
    try:
        return Bind.parse(bind.value if bind is not None else DEFAULT), secret
    except (AttributeError, ValueError):
        return None, secret


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _leave(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    raise SystemExit(code)
