"""The four sample services in one process: `python -m gateway.demo.services`, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Sequence

from aiohttp import web

from gateway.demo.auth import auth
from gateway.demo.catalog import catalog
from gateway.demo.reviews import reviews
from gateway.demo.users import users

HOST = "127.0.0.1"
PORTS = (9001, 9002, 9003, 9004)
SERVICES: tuple[tuple[str, Callable[[], web.Application]], ...] = (
    ("catalog", catalog),
    ("reviews", reviews),
    ("users", users),
    ("auth", auth),
)


async def start_services(ports: Sequence[int] = PORTS) -> list[web.AppRunner]:
    """Start the services on their ports (0: any free one). OSError says which port could not be had."""
    runners: list[web.AppRunner] = []
    try:
        for (name, make), port in zip(SERVICES, ports, strict=True):
            runner = web.AppRunner(make(), access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
            runners.append(runner)
            await runner.setup()
            try:
                await web.TCPSite(runner, HOST, port).start()
            except OSError as error:
                raise OSError(error.errno, f"the {name} service cannot have {HOST}:{port}: {error.strerror}") from None
    except OSError:
        await stop_services(runners)
        raise
    return runners


async def stop_services(runners: Sequence[web.AppRunner]) -> None:
    """Stop them, ending streams that would go on for ever."""
    await asyncio.gather(*(runner.cleanup() for runner in runners))


async def serve(ports: Sequence[int] = PORTS) -> int:
    """Run the services until a signal comes; the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        runners = await start_services(ports)
    except OSError as error:
        print(error.strerror, file=sys.stderr)
        return 1
    await stop.wait()
    await stop_services(runners)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    import uvloop

    parser = argparse.ArgumentParser(prog="python -m gateway.demo.services", description="The sample services.")
    parser.add_argument(
        "--ports",
        nargs=4,
        type=int,
        default=PORTS,
        metavar=("CATALOG", "REVIEWS", "USERS", "AUTH"),
        help="default: 9001 9002 9003 9004",
    )
    arguments = parser.parse_args(argv)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(arguments.ports))


if __name__ == "__main__":
    raise SystemExit(main())
