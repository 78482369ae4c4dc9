"""New TLS 1.3 connections, one after the other on each of some: what a handshake costs, with nothing behind it.

No session is resumed and no request sent. Prints its totals in wrk's words.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import time
from urllib.parse import urlsplit

from loadtest.bench.process import unverified
from loadtest.bench.stats import p99


async def shake(host: str, port: int, until: float, context: ssl.SSLContext, latencies: list[float]) -> int:
    """Handshakes until then; how many failed."""
    loop = asyncio.get_running_loop()
    failed = 0
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            transport, _ = await loop.create_connection(asyncio.Protocol, host, port, ssl=context)
        except OSError:
            failed += 1
            continue
        latencies.append(time.monotonic() - began)
        transport.close()
    return failed


async def load(host: str, port: int, connections: int, seconds: float) -> tuple[int, list[float], float]:
    """(failed, seconds of each that was made, how long it took)."""
    context = unverified()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    latencies: list[float] = []
    started = time.monotonic()
    until = started + seconds
    failed = await asyncio.gather(*(shake(host, port, until, context, latencies) for _ in range(connections)))
    return sum(failed), latencies, time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-c", dest="connections", type=int, default=32)
    parser.add_argument("-d", dest="seconds", type=float, default=3.0)
    parser.add_argument("url")
    options = parser.parse_args()
    url = urlsplit(options.url)
    work = load(url.hostname or "127.0.0.1", url.port or 443, options.connections, options.seconds)
    try:
        import uvloop

        failed, latencies, took = uvloop.run(work)
    except ImportError:
        failed, latencies, took = asyncio.run(work)
    if latencies:
        print(f"     99%  {p99(latencies) * 1000:.2f}ms")
    print(f"  {len(latencies)} requests in {took:.2f}s, 0MB read")
    if failed:
        print(f"  Socket errors: connect {failed}, read 0, write 0, timeout 0")


if __name__ == "__main__":
    main()
