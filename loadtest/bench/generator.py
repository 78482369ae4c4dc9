"""The load: wrk where it is installed, else `python -m loadtest.own_generator`, which answers in wrk's words."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from loadtest.bench.measure import CpuClock, stolen_ticks
from loadtest.bench.process import Child, HarnessError, Sandbox

CONNECTIONS = 32
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
HEADERS = (  # with Host nine, as a browser sends about as many
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"),
    ("Accept", "application/json, text/plain, */*"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Accept-Language", "en-GB,en;q=0.9"),
    ("Referer", "http://shop.example/catalog?page=2"),
    ("Cookie", "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark"),
    ("Cache-Control", "no-cache"),
    ("X-Client-Version", "4.11.2"),
)


@dataclass(frozen=True)
class Outcome:
    """What a generator run says of itself."""

    requests: int
    seconds: float
    unsuccessful: int  # answers that are neither 2xx nor 3xx
    errors: int  # connections refused, reads and writes that failed, time-outs
    p99_ms: float = 0.0  # the latency that 99 % of the answers kept to; 0 where the generator does not say


@dataclass(frozen=True)
class Sample:
    """One run against one peer."""

    requests: int
    seconds: float
    cpu_us: float
    p99_ms: float = 0.0
    stolen: float = 0.0  # the share of the machine's time that its host gave to others
    failed: int = 0  # requests without the answer that they were to get
    problem: str | None = None

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Target:
    """What is asked: a port, paths in turn, whether the answer is meant to be an error, and with which headers more.
    `secure` is by TLS, and with `handshakes` nothing is asked but a new connection each time. With
    `websocket` a connection asks once, and then sends messages of so many bytes, each when the last came back."""

    port: int
    paths: tuple[str, ...]
    succeeds: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    secure: bool = False
    handshakes: bool = False
    websocket: int = 0


def parse_wrk(text: str) -> Outcome:
    """wrk's closing lines: counts, and the lines about errors that are only there when there were some."""
    total = re.search(r"^\s*(\d+) requests in ([\d.]+)(us|ms|s|m|h),", text, re.MULTILINE)
    if total is None:
        raise HarnessError(f"the generator's output has no total: {text[-500:]!r}")
    unit = UNITS[total[3]]
    unsuccessful = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    p99 = re.search(r"^\s*99%\s+([\d.]+)(us|ms|s|m)\b", text, re.MULTILINE)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return Outcome(
        requests=int(total[1]),
        seconds=float(total[2]) * unit,
        unsuccessful=int(unsuccessful[1]) if unsuccessful else 0,
        errors=sum(map(int, sockets.groups())) if sockets else 0,
        p99_ms=float(p99[1]) * UNITS[p99[2]] * 1000 if p99 else 0.0,
    )


def failed(outcome: Outcome, succeeds: bool) -> int:
    """How many requests had no answer, or a wrong one."""
    return outcome.errors + (outcome.unsuccessful if succeeds else outcome.requests - outcome.unsuccessful)


def problem_of(outcome: Outcome, succeeds: bool) -> str | None:
    """Why a run does not count, or None."""
    if outcome.errors:
        return f"{outcome.errors} socket errors"
    if not outcome.requests:
        return "no request completed"
    wrong = outcome.unsuccessful if succeeds else outcome.requests - outcome.unsuccessful
    return f"{wrong} of {outcome.requests} answers with the wrong status" if wrong else None


def lua_script(paths: tuple[str, ...]) -> str:
    """A wrk script that asks for the paths in turn, each request built beforehand."""
    listed = ",".join(json.dumps(path) for path in paths)
    return (
        f"local paths = {{{listed}}}\nlocal ready, at = {{}}, 0\n"
        "function init() for i, path in ipairs(paths) do ready[i] = wrk.format('GET', path) end end\n"
        "function request() at = at % #ready + 1; return ready[at] end\n"
    )


def command(target: Target, seconds: float, folder: Path) -> list[str]:
    """wrk's command line, or that of our own generator with the same meaning."""
    url = f"{'https' if target.secure else 'http'}://127.0.0.1:{target.port}{target.paths[0]}"
    if target.handshakes:
        return [sys.executable, "-m", "loadtest.handshakes", f"-c{CONNECTIONS}", f"-d{seconds:g}", url]
    headers = [word for name, value in (*HEADERS, *target.headers) for word in ("-H", f"{name}: {value}")]
    wrk = shutil.which("wrk")
    if wrk is None or target.websocket:
        listing = folder / "paths"
        listing.write_text("\n".join(target.paths))
        own = [sys.executable, "-m", "loadtest.own_generator", f"-c{CONNECTIONS}", f"-d{seconds:g}"]
        own += ["--websocket", str(target.websocket)] if target.websocket else []
        return [*own, "--paths", str(listing), *headers, url]
    script: list[str] = []
    if len(target.paths) > 1:
        (folder / "paths.lua").write_text(lua_script(target.paths))
        script = ["-s", str(folder / "paths.lua")]
    timing = [f"-d{max(1, round(seconds))}s", "--timeout", "10s", "--latency"]
    return [wrk, "-t1", f"-c{CONNECTIONS}", *timing, *script, *headers, url]


def run(sandbox: Sandbox, target: Target, seconds: float, core: int) -> Outcome:
    """One run of the generator to its end."""
    folder = sandbox.folder("generator")
    output = folder / "out"
    with output.open("wb") as file:
        child = sandbox.start("generator", command(target, seconds, folder), core, file)
    try:
        if child.process.wait(seconds + 30) != 0:
            raise HarnessError(f"the generator failed: {child.complaint()}")
    except subprocess.TimeoutExpired:
        raise HarnessError("the generator did not come to an end") from None
    finally:
        sandbox.stop(child)
        shutil.rmtree(child.errors.parent, ignore_errors=True)
    text = output.read_text()
    shutil.rmtree(folder, ignore_errors=True)
    return parse_wrk(text)


def measure(sandbox: Sandbox, child: Child, target: Target, seconds: float, core: int) -> Sample:
    """One run, and what it cost the peer."""
    child.require_alive()
    time.sleep(0.05)  # what the run before left behind ends in nobody's account
    stolen, ticks = stolen_ticks()
    clock = CpuClock.read(child.pid)
    outcome = run(sandbox, target, seconds, core)
    spent = clock.spent()
    stolen_now, ticks_now = stolen_ticks()
    problem = problem_of(outcome, target.succeeds)
    if spent is None:
        problem = "a process of the peer came or went"
    cost = (spent or 0.0) / max(1, outcome.requests) * 1e6
    share = (stolen_now - stolen) / max(1, ticks_now - ticks)
    lost = failed(outcome, target.succeeds)
    return Sample(outcome.requests, outcome.seconds, cost, outcome.p99_ms, share, lost, problem)


def name() -> str:
    return "wrk" if shutil.which("wrk") else "loadtest.own_generator"
