"""Does the one-file executable work? `python smoke.py dist/gateway` asks it for what it could lack, and runs it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

CONFIGURATION = """
version: 1
listeners: [{bind: "127.0.0.1:0"}]
admin: {bind: "127.0.0.1:0"}
plugins: [tracing_ids, rate_metrics, mine]
routes:
  - {name: ping, match: {path: /ping}, respond: {text: pong}}
"""
# It is found beside the configuration, and imports what the gateway itself does not.
PLUGIN = """
import sqlite3
from gateway.plugin import Exchange, Plugin, ResponseHead

class Mine(Plugin):
    '''Says which SQLite is there.'''

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        head.headers.set("X-SQLite", sqlite3.sqlite_version)
"""
WITHIN = 60


def main(executable: str) -> None:
    """AssertionError, or a CalledProcessError, for what does not work."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plugins").mkdir()
        (folder / "plugins" / "mine.py").write_text(PLUGIN)
        (folder / "routes.yaml").write_text(CONFIGURATION)
        version = said(folder, executable, "--version").strip()
        said(folder, executable, "check", "--strict")
        said(folder, executable, "demo", "--help")
        plugins = json.loads(said(folder, executable, "plugins", "--format", "json"))
        assert {"access_log", "jwt", "mine"} <= {plugin["name"] for plugin in plugins}, plugins
        serve(folder, executable)
        size = Path(executable).stat().st_size / 2**20
        print(f"{executable} works: {version}, {len(plugins) - 1} built-in plugins, {size:.0f} MiB")


def said(folder: Path, *words: str) -> str:
    """What a command prints that succeeds."""
    return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True, timeout=WITHIN).stdout


def serve(folder: Path, executable: str) -> None:
    """Start it, ask both listeners, and stop it in order."""
    with subprocess.Popen([executable, "run"], cwd=folder, stderr=subprocess.PIPE, text=True) as gateway:
        try:
            listener, admin = address(gateway, "listening on"), address(gateway, "admin on")
            assert answer(f"http://{admin}/healthz").status == 200
            ping = answer(f"http://{listener}/ping")
            assert ping.read() == b"pong"
            assert ping.headers["X-SQLite"], ping.headers
            gateway.send_signal(signal.SIGTERM)
            assert gateway.wait(WITHIN) == 0, gateway.returncode
        finally:
            gateway.kill()


def address(gateway: subprocess.Popen[str], words: str) -> str:
    """What it says after `words`."""
    assert gateway.stderr is not None
    for line in gateway.stderr:
        if found := re.search(rf"{words} (\S+)", line):
            return found[1]
        sys.stderr.write(line)
    raise AssertionError(f"it ended and never said {words!r}")


def answer(url: str) -> http.client.HTTPResponse:
    """The answer to one GET."""
    response: http.client.HTTPResponse = urllib.request.urlopen(url, timeout=WITHIN)
    return response


if __name__ == "__main__":
    main(str(Path(sys.argv[1]).resolve()))
