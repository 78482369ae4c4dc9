"""What a demo is made of, settled before anything starts: commands, addresses, and what to tell the user."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config.fields import Bind
from gateway.config.load import load
from gateway.config.specs import ConfigSpec
from gateway.demo.services import HOST, PORTS, SERVICES

PACKAGED_ROUTES = Path(__file__).with_name("routes.yaml")

READ_TOKEN = r"""sed 's/.*"access_token": *"\([^"]*\)".*/\1/'"""
# What there is for users who log in.
LOGIN_ROUTES = frozenset(["login", "refresh", "logout", "me", "remove-item"])
# A frontend of the samples, the command that shows its page, and what it shows.
PAGES = (
    ("web", "curl -i {base}/web/products/42", "the web's product page, out of three services"),
    ("mobile", "curl -i -H 'X-Client: mobile' {base}/products/42", "the app's, out of the same three"),
)
# A route of the sample routes.yaml, the command that shows it, and what it shows.
SAMPLES = (
    ("items", "curl -i {base}/api/items", "all items of the catalog"),
    ("item", "curl -i {base}/api/items/42", "one item, its path rewritten"),
    ("reviews", "curl -i '{base}/api/reviews?item_id=42'", "from a second service"),
    ("user", "curl -i {base}/api/users/5", "from a third"),
    ("echo", "curl -i '{base}/api/echo/a/b?c=d'", "the request as the service saw it"),
    ("download", "curl -o /dev/null '{base}/api/download?bytes=100MiB'", "a body that streams through"),
    ("upload", "curl -d 'some text' {base}/api/upload", "counted by the service"),
    ("ping", "curl -i {base}/ping", "answered by the gateway itself"),
    ("old-api", "curl -iL {base}/v1/items/42", "a redirect"),
)


def connectable(bind: Bind) -> Bind:
    """Where a client on this machine reaches a listener that is bound to `bind`."""
    return Bind({"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind.host, bind.host), bind.port)


@dataclass(frozen=True)
class Plan:
    """A demo that could be started."""

    config: Path
    services_command: Sequence[str]
    gateway_command: Sequence[str]
    listener: Bind
    admin: Bind
    service_ports: Sequence[int] = PORTS
    routes: frozenset[str] = frozenset()
    frontends: Mapping[str, Bind | None] = field(default_factory=dict)

    def binds(self) -> Iterator[tuple[str, Bind]]:
        """Everything that will listen, and where."""
        for (name, _), port in zip(SERVICES, self.service_ports, strict=True):
            yield f"the {name} service", Bind(HOST, port)
        yield "the gateway", self.listener
        for name, bind in self.frontends.items():
            if bind is not None:
                yield f"the frontend {name}", bind
        yield "the gateway's admin listener", self.admin

    @property
    def health_urls(self) -> list[str]:
        """What answers 200 once the services run."""
        return [f"http://{HOST}:{port}/health" for port in self.service_ports]

    @property
    def ready_url(self) -> str:
        """What answers 200 once the gateway is ready."""
        return f"http://{connectable(self.admin)}/readyz"

    def greeting(self) -> str:
        """What to curl, and where the admin page is."""
        base = f"http://{connectable(self.listener)}"
        samples = [(line.format(base=base), what) for route, line, what in SAMPLES if route in self.routes]
        samples += [(line.format(base=base), what) for name, line, what in PAGES if name in self.frontends]
        own = shlex.join(["gateway", "routes", "-c", str(self.config)])
        samples = samples or [(f"curl -i {base}/", "the gateway"), (own, "what it answers")]
        width = max(len(line) for line, _ in samples)
        switch = f"http://{HOST}:{self.service_ports[0]}/_switch"
        reviews = f"http://{HOST}:{self.service_ports[1]}/_switch"
        return "\n".join(
            [
                f"ready: the gateway runs on {self.config}, with four sample services behind it. Try:",
                "",
                *(f"  {line:<{width}}  # {what}" for line, what in samples),
                "",
                "Make the catalog slow and broken, and well again:",
                "",
                f"""  curl {switch} -d '{{"delay": "200ms", "error": 503, "share": 0.5}}'""",
                f"  curl {switch} -X DELETE",
                "",
                *self._login_lines(base),
                *self._breaker_lines(base, reviews),
                f"Admin: http://{connectable(self.admin)}/   Ctrl-C stops all.",
                "",
            ]
        )

    def _login_lines(self, base: str) -> Iterator[str]:
        if self.routes >= LOGIN_ROUTES:
            yield "Log in, and see what a token opens: grace may read her own data and remove nothing, ada may remove:"
            yield ""
            yield f"  curl -i {base}/api/me"
            yield f"""  token=$(curl -s {base}/auth/login -d 'user=grace&password=hopper' | {READ_TOKEN})"""
            yield f'  curl -i {base}/api/me -H "Authorization: Bearer $token"'
            yield f'  curl -i -X DELETE {base}/api/items/42 -H "Authorization: Bearer $token"'
            yield f"  curl -i -X DELETE {base}/api/items/42 -u ada:lovelace"
            yield f'  curl -i -X POST {base}/auth/logout -H "Authorization: Bearer $token"'
            yield ""

    def _breaker_lines(self, base: str, switch: str) -> Iterator[str]:
        if "reviews" in self.routes:
            yield "Break the reviews, see the fallback that its route has, and the breaker open after five requests:"
            yield ""
            yield f"""  curl {switch} -d '{{"error": 503}}'"""
            yield f"  curl -i '{base}/api/reviews?item_id=42'"
            yield f"  curl http://{connectable(self.admin)}/api/breakers"
            yield f"  curl {switch} -X DELETE"
            yield ""


def make_plan(config: Path | None = None, gateway_argv: Sequence[str] = ()) -> Plan:
    """The demo on `config`, else on ./routes.yaml, else on the packaged routes.

    What is wrong with the file is the gateway's to say when it starts; until then, the defaults do.
    """
    if config is None:
        own = Path("routes.yaml")
        config = own if own.is_file() else PACKAGED_ROUTES
    loaded = load(config, os.environ)
    spec = loaded.spec or ConfigSpec(version=1)
    python = [sys.executable, "-P", "-m"]  # -P: the installed gateway, also where the current folder holds another
    return Plan(
        config=config,
        services_command=[*python, "gateway.demo.services"],
        gateway_command=[*python, "gateway", "run", "-c", str(config), *gateway_argv],
        listener=_option(gateway_argv, "--bind") or spec.listeners[0].bind,
        admin=_option(gateway_argv, "--admin") or spec.admin.bind,
        routes=frozenset(route.name for route in spec.routes),
        frontends={frontend.name: frontend.bind for frontend in loaded.frontends},
    )


def _option(argv: Sequence[str], name: str) -> Bind | None:
    """The address in `--name VALUE` or `--name=VALUE`, the last one given."""
    value = None
    for index, word in enumerate(argv):
        if word == name and index + 1 < len(argv):
            value = argv[index + 1]
        elif word.startswith(f"{name}="):
            value = word.removeprefix(f"{name}=")
    try:
        return None if value is None else Bind.parse(value)
    except ValueError:
        return None
