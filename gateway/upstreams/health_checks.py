"""The tasks that check endpoints. They go past pools, meters and logs of traffic: a check is no request of a client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from gateway.upstreams.health import BODY_LIMIT, CheckPolicy, HealthState, judge
from gateway.wire.dial import connect, dial
from gateway.wire.proxy_protocol import write_header

if TYPE_CHECKING:
    from gateway.upstreams.endpoint import Endpoint
    from gateway.wire.pool import Pool

log = logging.getLogger("gateway.upstreams")
# Checks of many endpoints spread out in time by this part of the interval.
JITTER = 0.1

Session = Callable[[], aiohttp.ClientSession]


def check_session() -> aiohttp.ClientSession:
    """A client for HTTP checks. Each opens a connection, so that a process that accepts none any more is noticed; and
    as many as there are may be open, so that endpoints that hang never hold up the checks of others."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


class _DialledConnector(aiohttp.BaseConnector):
    """Opens connections as the pool of an endpoint does: over its Unix socket, and with a PROXY header."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(limit=0, force_close=True)
        self._pool = pool

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> ResponseHandler:  # noqa: ASYNC109
        return await connect(self._factory, self._pool.host, self._pool.port, _header(self._pool))


def _header(pool: Pool) -> bytes:
    """What connections of the gateway's own begin with."""
    version = pool.limits.proxy_protocol
    return write_header(version, None) if version else b""


def _session_of(pool: Pool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=_DialledConnector(pool), cookie_jar=aiohttp.DummyCookieJar())


class HealthChecks:
    """Checks endpoints, one task each, and sets `healthy`, `checked` and `check_failure` of them.

    Mutable state: what is checked and by which task, and the tasks that have not ended.
    """

    def __init__(self, session: Session, lift: Callable[[Endpoint], None]) -> None:
        """`session` gives the client for HTTP checks, such as one made by `check_session`; `lift` is called for an
        endpoint after each passed check."""
        self._session = session
        self._lift = lift
        self._checks: dict[Endpoint, tuple[tuple[CheckPolicy, str], asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, wanted: Mapping[Endpoint, tuple[CheckPolicy, str]]) -> None:
        """Check these from now on, each by its policy; the text is the upstream's name. What was checked by the same
        policy before goes on undisturbed; what is checked no more counts as healthy."""
        for endpoint, (checked, task) in list(self._checks.items()):
            if wanted.get(endpoint) != checked:
                task.cancel()
                del self._checks[endpoint]
                if endpoint not in wanted:
                    _forget(endpoint)
        for endpoint, (policy, upstream) in wanted.items():
            if endpoint not in self._checks:
                check = _Check(endpoint, policy, upstream, self._session, self._lift)
                task = asyncio.get_running_loop().create_task(check.run())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                self._checks[endpoint] = (policy, upstream), task

    async def stop(self) -> None:
        """Check nothing any more. The verdicts stay."""
        self._checks.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __repr__(self) -> str:
        return f"<HealthChecks of {len(self._checks)} endpoints>"


class _Check:
    """Checks one endpoint. Mutable state: the verdict in the making, and whether an unexpected error was logged."""

    def __init__(
        self,
        endpoint: Endpoint,
        policy: CheckPolicy,
        upstream: str,
        session: Session,
        lift: Callable[[Endpoint], None],
    ) -> None:
        self._endpoint = endpoint
        self._policy = policy
        self._upstream = upstream
        self._session = session
        self._lift = lift
        self._state = HealthState(policy)
        self._logged = False

    async def run(self) -> None:
        """Now, then again after each interval, until cancelled."""
        while True:
            again = time.monotonic() + self._policy.interval * random.uniform(1 - JITTER, 1 + JITTER)
            try:
                self._note(await self._ask())
            except Exception as error:
                if not self._logged:
                    self._logged = True
                    log.exception("a check of %s of %s broke down", self._endpoint.address, self._upstream)
                self._note(f"the check itself failed: {type(error).__name__}")
            await asyncio.sleep(max(0.0, again - time.monotonic()))

    async def _ask(self) -> str:
        """One check: "" or why it failed. Texts of exceptions may hold the URL or bytes of the answer, so none is
        repeated."""
        policy = self._policy
        ask = self._ask_http if policy.kind == "http" else self._connect
        try:
            async with asyncio.timeout(policy.timeout):
                return await ask()
        except TimeoutError:
            return f"no answer in {policy.timeout:g} s"
        except aiohttp.ClientConnectorCertificateError:
            return "its certificate does not hold"
        except aiohttp.ClientSSLError:
            return "no TLS with it"
        except (socket.gaierror, aiohttp.ClientConnectorDNSError, UnicodeError):
            return "its name has no address"
        except aiohttp.ServerDisconnectedError:
            return "it hung up"
        except OSError as error:
            return os.strerror(error.errno) if error.errno else type(error).__name__
        except aiohttp.ClientError as error:
            return f"no valid answer: {type(error).__name__}"

    async def _ask_http(self) -> str:
        pool = self._endpoint.pool
        async with contextlib.AsyncExitStack() as stack:
            session = self._session()
            if pool.is_unix or pool.limits.proxy_protocol:
                session = await stack.enter_async_context(_session_of(pool))
            return await self._ask_by(session)

    async def _ask_by(self, session: aiohttp.ClientSession) -> str:
        policy, endpoint = self._policy, self._endpoint
        tls = endpoint.pool.limits.tls
        response = await session.request(
            policy.method,
            # Encoded: what is written is sent, `%2F` stays `%2F`.
            URL(f"{endpoint.pool.scheme}://{endpoint.authority}{policy.path}", encoded=True),
            ssl=tls.context if tls is not None else True,
            server_hostname=tls.settings.server_name if tls is not None else None,
            headers={
                "Host": policy.host or endpoint.authority,
                "User-Agent": "aiogate-health-check",
                "Accept-Encoding": "identity",
                "Connection": "close",
            },
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(),
        )
        try:
            body = b""
            while policy.body is not None and len(body) < BODY_LIMIT and not response.content.at_eof():
                body += await response.content.read(BODY_LIMIT - len(body))
            return judge(policy, response.status, body)
        finally:
            response.close()

    async def _connect(self) -> str:
        """Like a client, try each address of the name until one lets us in."""
        pool = self._endpoint.pool
        (await dial(pool.host, pool.port, _header(pool))).close()
        return ""

    def _note(self, failure: str) -> None:
        endpoint = self._endpoint
        endpoint.checked = True
        endpoint.check_failure = failure
        healthy = self._state.result(not failure)
        if healthy is not None and healthy is not endpoint.healthy:
            endpoint.healthy = healthy
            if healthy:
                endpoint.available_since = time.monotonic()
                log.info("%s of %s is healthy again", endpoint.address, self._upstream)
            else:
                log.warning("%s of %s is unhealthy: %s", endpoint.address, self._upstream, failure)
            endpoint.changes.count += 1
        if not failure:
            self._lift(endpoint)


def _forget(endpoint: Endpoint) -> None:
    """Without checks an endpoint counts as healthy."""
    endpoint.checked = False
    endpoint.check_failure = ""
    if not endpoint.healthy:
        endpoint.healthy = True
        endpoint.available_since = time.monotonic()
        endpoint.changes.count += 1
