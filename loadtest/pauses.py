"""How long a reload holds the loop: a timer of 1 ms on it records its longest delay, by what was going on.

    python -m loadtest.pauses [ROUTES ...]

A gap is told in wall-clock time and in CPU time of this process: the second is what to go by on a machine that others
use too.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from gateway.process.runtime import Runtime

HEAD = "version: 1\nlisteners: [{bind: '127.0.0.1:0'}]\nadmin: {bind: '127.0.0.1:0'}\n"
HEAD += "plugins: [tracing_ids, rate_metrics]\nupstreams:\n"
UPSTREAM = "  u{n}: {{endpoints: ['http://127.0.0.1:{port}'], retries: {{attempts: 2}}}}\n"
ROUTE = "  - {{name: r{n}, match: {{path: '/api/{n}/items/{{id}}', methods: [GET]}}, to: u{up}"
ROUTE += ", rewrite: {{path: '/v{round}/{{id}}'}}, plugins: [{{request_size: {{body: {n}KiB}}}}]}}\n"
RELOADS = 7
TICK = 0.001


def configuration(routes: int, round_: int) -> str:
    """Every route is another one in each round; upstreams and the top-level plugins stay."""
    upstreams = max(1, routes // 20)
    text = HEAD + "".join(UPSTREAM.format(n=n, port=10_000 + n) for n in range(upstreams)) + "routes:\n"
    return text + "".join(ROUTE.format(n=n + 1, up=n % upstreams, round=round_) for n in range(routes))


class Ticker:
    """Mutable state: when it ran last, and its gaps since `clear`, in milliseconds: wall, CPU."""

    def __init__(self) -> None:
        self.gaps: list[tuple[float, float]] = []
        self._loop = asyncio.get_running_loop()
        self._last = (time.perf_counter(), time.process_time())
        self._tick()

    def _tick(self) -> None:
        now = (time.perf_counter(), time.process_time())
        self.gaps.append(((now[0] - self._last[0]) * 1e3, (now[1] - self._last[1]) * 1e3))
        self._last = now
        self._loop.call_later(TICK, self._tick)

    def clear(self) -> list[tuple[float, float]]:
        """The gaps until now."""
        gaps, self.gaps = self.gaps, []
        return gaps


async def measure(routes: int, folder: Path) -> None:
    """Print one line for a configuration of so many routes."""
    path = folder / "routes.yaml"
    path.write_text(configuration(routes, 0))
    runtime = Runtime(path, {})
    runtime.prepare()
    await runtime.start()
    ticker = Ticker()
    await asyncio.sleep(0.3)
    rows = []
    for number in range(1, RELOADS + 1):
        path.write_text(configuration(routes, number))
        ticker.clear()
        began = time.perf_counter()
        assert await runtime.reload(), runtime.last.texts
        took = time.perf_counter() - began
        await asyncio.sleep(0.2)
        gaps = ticker.clear()
        rows.append((took, max(wall for wall, _ in gaps), max(cpu for _, cpu in gaps), sum(c > 5 for _, c in gaps)))
    took, wall, cpu, over = (statistics.median(column) for column in zip(*rows, strict=True))
    best, worst = min(row[2] for row in rows), max(row[2] for row in rows)
    print(f"{routes:>7} {took:>8.2f} {wall:>9.1f} {cpu:>8.1f} {best:>9.1f} {worst:>10.1f} {over:>6.0f}", flush=True)
    await runtime.stop()


def main() -> None:
    """Print the table."""
    logging.disable()
    print(f"{'routes':>7} {'took s':>8} {'wall ms':>9} {'cpu ms':>8} {'best cpu':>9} {'worst cpu':>10} {'> 5 ms':>6}")
    for routes in map(int, sys.argv[1:] or ("200", "10000")):
        with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure(routes, Path(folder)))


if __name__ == "__main__":
    main()
