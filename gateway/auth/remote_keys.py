"""The key set that an issuer publishes: fetched, refreshed before it is old, and kept while the issuer is away."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from gateway.auth.key_set import KeySet, jwk_set

if TYPE_CHECKING:
    import aiohttp

    from gateway.plugin import Clock

LOOPBACK = frozenset(["localhost", "127.0.0.1", "::1"])
MAX_DOCUMENT = 256 * 1024
FETCH_SECONDS = 5.0
# A start does not wait longer for an issuer; its tokens are refused with 503 until it answers.
START_SECONDS = 3.0
# An id that is not in the set may be a new key's, or anybody's invention: the issuer is asked for it no more often.
UNKNOWN_EVERY = 30.0
SHORTEST_LIFE, DEFAULT_LIFE, LONGEST_LIFE = 300.0, 3600.0, 86_400.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
VISIBLE = re.compile(r"[!-~]+")
MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})", re.IGNORECASE)


class KeysUnavailable(Exception):
    """No key of this issuer was ever had, and it does not answer now."""


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where an issuer's keys are: `url` of the set, or None for what the discovery document of `issuer` names."""

    issuer: str
    url: str | None = None
    insecure_http: bool = False


def checked_url(url: str, insecure_http: bool) -> str:
    """The URL. ValueError unless it is https, or http to this machine, or http was allowed in so many words."""
    wrong = ValueError(f"{url!r} is no URL to fetch from; write one such as https://issuer.example/jwks.json")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or port == 0:
        raise wrong
    # urlsplit takes line ends and tabs away: what was looked at would not be what is asked for.
    if not VISIBLE.fullmatch(url):
        raise wrong
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not insecure_http:
        raise ValueError(f"{url!r} is not https: whoever is between could put in keys; or add insecure_http: true")
    return url


class RemoteKeys:
    """Mutable state: `keys`, the last good set; the fetch under way; when it was last asked for an unknown id, and when
    a fetch last failed."""

    def __init__(
        self,
        place: KeyPlace,
        algorithms: Iterable[str],
        http: Callable[[], aiohttp.ClientSession],
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self.keys: KeySet | None = None
        self._place = place
        self._algorithms = tuple(algorithms)
        self._http = http
        self._clock = clock
        self._log = log
        self._life = 0.0
        self._fetching: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._unknown_at = self._failed_at = float("-inf")

    async def start(self) -> None:
        """Fetch, and go on fetching. Returns when the keys are there, and after three seconds at the latest."""
        first = asyncio.Event()
        self._refreshing = asyncio.create_task(self._refresh(first))
        try:
            async with asyncio.timeout(START_SECONDS):
                await first.wait()
        except TimeoutError:
            self._log.warning("the issuer %s has not answered yet; its tokens are not accepted", self._place.issuer)

    async def stop(self) -> None:
        """Fetch no more."""
        tasks = [task for task in (self._refreshing, self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def find(self, kid: str | None, algorithm: str) -> Any:
        """The key for a token, or None. The issuer is asked anew for an id that is not known, at most once in 30 s.
        KeysUnavailable while there are no keys at all."""
        keys = self.keys
        now = self._clock.now()
        if keys is not None:
            found = keys.find(kid, algorithm)
            if found is not None or kid is None:
                return found
            if self._fetching is None:
                if now - self._unknown_at < UNKNOWN_EVERY:
                    return None
                self._unknown_at = now
        elif now - self._failed_at < FIRST_PAUSE:
            raise KeysUnavailable
        await self._fetch()
        if self.keys is None:
            raise KeysUnavailable
        return self.keys.find(kid, algorithm)

    async def _refresh(self, first: asyncio.Event) -> None:
        pause = FIRST_PAUSE
        while True:
            if await self._fetch():
                first.set()
                pause = FIRST_PAUSE
                await asyncio.sleep(self._life * 0.8)
            else:
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _fetch(self) -> bool:
        """One fetch, shared by all who want one now. Was it good? What was there stays when it was not."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_once())
            self._fetching.add_done_callback(self._fetched)
        # Neither who waits nor `stop` is cancelled by what becomes of the other.
        await asyncio.wait([self._fetching])
        return self._failed_at == float("-inf")

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch_once(self) -> None:
        place = self._place
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                url = place.url or await self._discover()
                data, life = await self._get(url)
            self.keys = jwk_set(data, self._algorithms)
        except Exception as error:
            # Whatever is wrong with what it says, the keys that are there stay, and it is asked again.
            self._failed_at = self._clock.now()
            said = "it did not answer in time" if isinstance(error, TimeoutError) else str(error) or repr(error)
            self._log.warning("no new keys of %s: %s", place.issuer, said)
        else:
            self._life = min(max(life, SHORTEST_LIFE), LONGEST_LIFE)
            self._failed_at = float("-inf")

    async def _discover(self) -> str:
        """OpenID Connect Discovery 1.0 §4: where the keys are. The document must be the issuer's own (§4.3)."""
        place = self._place
        data, _ = await self._get(f"{place.issuer.rstrip('/')}/.well-known/openid-configuration")
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict) or document.get("issuer") != place.issuer:
            raise ValueError("its discovery document names another issuer, or is none")
        return checked_url(str(document.get("jwks_uri")), place.insecure_http)

    async def _get(self, url: str) -> tuple[bytes, float]:
        """A document and how long it may be kept, in seconds. OSError or ValueError."""
        import aiohttp

        try:
            async with self._http().get(url, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise ValueError(f"{url} answered {answer.status}")
                data = await answer.content.read(MAX_DOCUMENT + 1)
                while len(data) <= MAX_DOCUMENT and (more := await answer.content.read(MAX_DOCUMENT + 1)):
                    data += more
                if len(data) > MAX_DOCUMENT:
                    raise ValueError(f"{url} answered more than {MAX_DOCUMENT} bytes")
                age = MAX_AGE.search(answer.headers.get("Cache-Control", ""))
                return data, float(age[1]) if age else DEFAULT_LIFE
        except aiohttp.ClientError as error:
            raise OSError(f"{url}: {type(error).__name__}") from None
