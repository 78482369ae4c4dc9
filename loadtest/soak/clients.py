"""The clients: some as they should be, most of them not. Each is one coroutine over connections of its own."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

from loadtest.soak.upstreams import FAULTY, LARGE, SMALL
from loadtest.soak.wire import Connection, read_head, request

UPLOAD = 100_000
PATIENCE = 15.0  # after this the gateway should have let go of whatever hangs


async def well_behaved(port: int, tally: Counter[str]) -> None:
    """A few requests on one connection, each checked to the last byte."""
    connection = await Connection.open(port)
    try:
        for _ in range(random.randint(1, 8)):
            path, length = random.choice((("good", len(SMALL)), ("large", LARGE), ("upload", len(SMALL)), ("ping", 4)))
            if path == "upload":
                await connection.send(request("POST", "/upload", UPLOAD) + bytes(UPLOAD))
            else:
                await connection.send(request("GET", "/" + path))
            head = await read_head(connection.reader)
            body = await connection.reader.readexactly(head.length)
            right = head.status == 200 and len(body) == length
            tally["good answers" if right else f"wrong answer {head.status} to {path}"] += 1
    except (EOFError, OSError):
        tally["wrong end of a connection"] += 1
    finally:
        connection.close()


async def patient(port: int, tally: Counter[str]) -> None:
    """A slow upstream is waited for."""
    connection = await Connection.open(port)
    await connection.send(request("GET", "/slow"))
    head = await read_head(connection.reader)
    await connection.reader.readexactly(head.length)
    tally["good answers" if head.status == 200 else f"wrong answer {head.status} to slow"] += 1
    connection.close()


async def faulty_upstream(port: int, tally: Counter[str]) -> None:
    """An upstream that misbehaves: an error of the gateway's, or a body that is visibly cut short."""
    connection = await Connection.open(port)
    path = random.choice(FAULTY)
    try:
        if path == "early":
            await connection.send(request("POST", "/early", UPLOAD) + bytes(UPLOAD // 2))
        else:
            await connection.send(request("GET", "/" + path))
        head = await read_head(connection.reader)
        if head.chunked and path == "cut-chunked":
            last = await asyncio.wait_for(connection.until_closed(), PATIENCE)
            tally[f"{path}: never may it look whole" if last.endswith(b"0\r\n\r\n") else f"{path}: cut"] += 1
            return
        await connection.reader.readexactly(head.length)
        tally[f"{path}: {head.status}"] += 1
    except (EOFError, OSError):
        tally[f"{path}: cut"] += 1
    finally:
        connection.close()


async def flapping_upstream(port: int, tally: Counter[str]) -> None:
    connection = await Connection.open(port)
    await connection.send(request("GET", "/flapping/" + random.choice(("good", "slow", "large"))))
    head = await read_head(connection.reader)
    tally[f"flapping: {head.status}"] += 1
    await connection.reader.readexactly(head.length)
    connection.close()


async def hang_in_head(port: int, tally: Counter[str]) -> None:
    connection = await Connection.open(port)
    await connection.send(request("GET", "/good")[:40])
    await _await_close(connection, tally, "half a head")


async def hang_in_body(port: int, tally: Counter[str]) -> None:
    connection = await Connection.open(port)
    await connection.send(request("POST", "/upload", UPLOAD) + bytes(1000))
    await _await_close(connection, tally, "half a body")


async def hang_idle(port: int, tally: Counter[str]) -> None:
    connection = await Connection.open(port)
    await connection.send(request("GET", "/good"))
    await _await_close(connection, tally, "idle")


async def say_nothing(port: int, tally: Counter[str]) -> None:
    connection = await Connection.open(port)
    await _await_close(connection, tally, "silent")


async def _await_close(connection: Connection, tally: Counter[str], what: str) -> None:
    """The gateway must end this connection; how long that takes is up to its time-outs."""
    try:
        await asyncio.wait_for(connection.until_closed(), PATIENCE)
        tally[f"{what}: ended by the gateway"] += 1
    except TimeoutError:
        tally[f"{what}: never ended"] += 1
    finally:
        connection.close()


async def reset_in_response(port: int, tally: Counter[str]) -> None:
    connection = await Connection.open(port)
    await connection.send(request("GET", "/large"))
    await connection.reader.read(1000)
    connection.reset()


async def reset_while_waiting(port: int, tally: Counter[str]) -> None:
    connection = await Connection.open(port)
    await connection.send(request("GET", random.choice(("/hang", "/slow", "/good"))))
    await asyncio.sleep(random.random() * 0.5)
    connection.reset()


async def reset_in_upload(port: int, tally: Counter[str]) -> None:
    connection = await Connection.open(port)
    await connection.send(request("POST", "/upload", UPLOAD) + bytes(UPLOAD // 2))
    connection.reset()


async def vanish(port: int, tally: Counter[str]) -> None:
    """Asks for much, several times over, reads nothing, and is gone without a word some seconds later."""
    connection = await Connection.open(port)
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await connection.send(request("GET", "/large") * 16)
    await asyncio.sleep(3.0)
    connection.reset()


async def half_close(port: int, tally: Counter[str]) -> None:
    connection = await Connection.open(port)
    await connection.send(request("GET", "/good"))
    connection.writer.write_eof()
    await _await_close(connection, tally, "half closed")


Client = Callable[[int, Counter[str]], Awaitable[None]]
CLIENTS: dict[Client, int] = {  # with their shares
    well_behaved: 40,
    patient: 5,
    faulty_upstream: 20,
    flapping_upstream: 6,
    hang_in_head: 2,
    hang_in_body: 2,
    hang_idle: 2,
    say_nothing: 1,
    reset_in_response: 6,
    reset_while_waiting: 6,
    reset_in_upload: 5,
    vanish: 2,
    half_close: 3,
}


async def one(port: int, tally: Counter[str]) -> None:
    """One client, chosen by the shares. That a connection breaks is what many of them are for."""
    client = random.choices(tuple(CLIENTS), tuple(CLIENTS.values()))[0]
    name = getattr(client, "__name__", "client")
    tally["clients"] += 1
    try:
        await asyncio.wait_for(client(port, tally), 2 * PATIENCE)
    except TimeoutError:
        tally[f"{name}: never came to an end"] += 1
    except (EOFError, OSError):
        tally[f"{name}: connection broken"] += 1
