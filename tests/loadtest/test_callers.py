"""Callers connect anew, and say of each request that failed on which connection that was."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from loadtest.callers import Account, call, knock
from tests.support.polling import eventually

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
Answer = Callable[[int], bytes]


@contextlib.asynccontextmanager
async def service(answer: Answer) -> AsyncIterator[int]:
    """Answers request `number` of each connection with `answer(number)`, and closes after one that is empty or says
    so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            number = 0
            while True:
                await reader.readuntil(b"\r\n\r\n")
                number += 1
                data = answer(number)
                # In two slices, wherever a head ends.
                writer.write(data[:20])
                await writer.drain()
                writer.write(data[20:])
                if not data or b"Connection: close" in data:
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def until(account: Account, task: Awaitable[None], condition: Callable[[], bool]) -> None:
    running = asyncio.ensure_future(task)
    await eventually(condition)
    account.stopping = True
    await running


async def test_all_is_well() -> None:
    account = Account()
    async with service(lambda number: ANSWER) as port:
        await until(account, call(port, "/x", account, 3), lambda: account.requests >= 30)
    assert (account.connections, account.failures, account.refused) == (3, [], 0)
    assert account.statuses == {200: account.requests}


async def test_a_connection_that_says_it_closes_is_no_failure() -> None:
    account = Account()
    async with service(lambda number: ANSWER if number < 3 else LAST) as port:
        await until(account, call(port, "/x", account, 1), lambda: account.connections >= 4)
    assert account.failures == []


async def test_a_connection_that_ends_is_one() -> None:
    account = Account()
    async with service(lambda number: ANSWER if number < 3 else b"") as port:
        await until(account, call(port, "/x", account, 1), lambda: account.connections >= 3)
    assert [(one.kept, one.why) for one in account.failures[:2]] == [(True, "closed with 0 bytes of the answer")] * 2
    assert account.failures[0].local != account.failures[1].local


async def test_a_wrong_status_is_one() -> None:
    account = Account()
    async with service(lambda number: LAST.replace(b"200 OK", b"503 No")) as port:
        await until(account, knock(port, "/x", account), lambda: len(account.failures) > 1)
        assert account.failures[0].why.startswith("answered with b'HTTP/1.1 503 No")
        again = Account()
        await until(again, call(port, "/x", again, 1), lambda: len(again.failures) > 1)
    assert again.failures[0].why == "answered with 503"


async def test_nobody_there() -> None:
    account = Account()
    async with service(lambda number: ANSWER) as port:
        pass
    await until(account, call(port, "/x", account, 1), lambda: account.refused >= 2)
    assert account.failures == []
