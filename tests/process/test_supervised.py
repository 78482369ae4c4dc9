"""A worker asks its siblings through the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.process import supervised as supervised_module
from gateway.process.channel import Channel, Refusal
from gateway.process.reloading import VersionChanged
from gateway.process.supervised import Supervised, check_words
from tests.support.polling import eventually, soon, turns
from tests.support.runtimes import HEAD, PING, Running, prepared, running

BREAKER = (
    HEAD
    + PING.replace("respond: {text: pong}", "to: up, plugins: [breaker: {}]")
    + ("upstreams: {up: {endpoints: ['http://127.0.0.1:9']}}\n")
)


class Boss:
    """The supervisor's side: what it has heard, and what it says to a question."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.says: Any = []
        names = ("gather", "tell", "reload", "restart", "remains")
        self.channel = Channel({name: lambda *given, name=name: self.hear(name, *given) for name in names}, self.end)
        self.alone = False

    def hear(self, *said: Any) -> Any:
        self.heard.append(said)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def end(self) -> None:
        self.alone = True


@contextlib.asynccontextmanager
async def supervised(worker: Running) -> AsyncIterator[tuple[Boss, Supervised]]:
    """The worker's view of its siblings, with a supervisor."""
    boss, siblings = Boss(), Supervised(worker.runtime)
    siblings.channel = Channel({}, lambda: None)
    for channel, sock in zip((boss.channel, siblings.channel), socket.socketpair(), strict=True):
        await asyncio.get_running_loop().create_unix_connection(lambda channel=channel: channel, sock=sock)
    try:
        yield boss, siblings
    finally:
        siblings.channel.close()
        await eventually(lambda: boss.alone)


async def test_its_own_answer_comes_first_and_is_passed_on(tmp_path: Path) -> None:
    async with running(tmp_path) as worker, supervised(worker) as (boss, siblings):
        boss.says = [[{"name": "theirs"}]]
        own, theirs = await soon(siblings.gather("routes"))
        assert (own[0]["name"], theirs) == ("ping", [{"name": "theirs"}])
        assert boss.heard == [("gather", "routes", (), own)]


async def test_who_has_nothing_in_service_yet_shows_what_the_others_say(tmp_path: Path) -> None:
    async with prepared(tmp_path) as worker, supervised(worker) as (boss, siblings):
        boss.says = [["theirs"]]
        assert await soon(siblings.gather("routes")) == [["theirs"]]
        assert boss.heard == [("gather", "routes", (), None)]


async def test_a_change_is_made_here_and_told(tmp_path: Path) -> None:
    async with running(tmp_path, BREAKER) as worker, supervised(worker) as (boss, siblings):
        (own,) = await soon(siblings.tell("force_breaker", "ping", "forced_open"))
        assert own["state"] == "forced_open"
        assert boss.heard == [("tell", "force_breaker", ("ping", "forced_open"), own)]


async def test_nobody_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows what it has itself, and changes nothing for others."""
    async with running(tmp_path) as worker:
        assert len(await Supervised(worker.runtime).gather("routes")) == 1
        async with supervised(worker) as (boss, siblings):
            siblings.detached = True
            assert len(await soon(siblings.gather("routes"))) == 1
            await soon(siblings.hand_in_once())
            with pytest.raises(Refusal, match="the gateway is restarting; ask again"):
                await soon(siblings.reload())
            siblings.detached = False
            boss.channel.close()
            await eventually(lambda: boss.alone)
            assert len(await soon(siblings.gather("routes"))) == 1
            with pytest.raises(Refusal, match="the supervisor has gone"):
                await soon(siblings.reload())
            assert boss.heard == []


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_reload_is_the_supervisors(tmp_path: Path, accepted: bool) -> None:
    async with running(tmp_path) as worker, supervised(worker) as (boss, siblings):
        boss.says = accepted
        assert await soon(siblings.reload()) is accepted
        assert await soon(siblings.reload([1, 5], "watch")) is accepted
        assert [(what, change.why, change.kept, base) for what, change, base in boss.heard] == [
            ("reload", "reload", None, None),
            ("reload", "watch", None, 1),
        ]


async def test_a_reload_on_condition_of_another_version(tmp_path: Path) -> None:
    async with running(tmp_path) as worker, supervised(worker) as (boss, siblings):
        with pytest.raises(VersionChanged):
            await soon(siblings.reload([2]))
        assert boss.heard == []
        boss.says = None
        with pytest.raises(VersionChanged):
            await soon(siblings.reload([1]))
        assert len(boss.heard) == 1, "there was another reload on the way"


async def test_a_rollback_brings_the_files(tmp_path: Path) -> None:
    async with running(tmp_path) as worker, supervised(worker) as (boss, siblings):
        boss.says = True
        assert await soon(siblings.reload(back_to=1))
        ((_, change, _),) = boss.heard
        assert (change.why, change.kept, change.restored) == ("rollback to 1", worker.runtime.current_loaded.kept, 1)
        with pytest.raises(LookupError, match="version 7 is not kept"):
            await soon(siblings.reload(back_to=7))
        assert len(boss.heard) == 1


async def test_what_has_been_counted_is_handed_in_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised_module, "HAND_IN_SECONDS", 0.0)
    async with running(tmp_path) as worker, supervised(worker) as (boss, siblings):
        handing = asyncio.create_task(siblings.hand_in())
        await eventually(lambda: len(boss.heard) > 2)
        what, remains = boss.heard[0]
        assert (what, set(remains)) == ("remains", {"metrics", "routes", "upstreams", "summary"})
        siblings.detached = True
        await soon(handing)


async def test_a_restart_is_asked_for_once_the_program_takes_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised_module, "check_words", lambda *given: ["-c", "print('no such key'); exit(2)"])
    async with running(tmp_path) as worker, supervised(worker) as (boss, siblings):
        with pytest.raises(Refusal, match=r"^the configuration is refused:\nno such key$"):
            await soon(siblings.restart())
        await turns()
        assert boss.heard == []
        monkeypatch.setattr(supervised_module, "check_words", lambda *given: ["-c", ""])
        await soon(siblings.restart())
        assert boss.heard == [("restart",)]


@pytest.mark.parametrize(
    ("original", "arguments", "launcher"),
    [
        (["python", "-m", "gateway", "run", "-c", "a"], ["/x/__main__.py", "run", "-c", "a"], ["-m", "gateway"]),
        (["python", "-P", "/usr/bin/gateway", "run"], ["/usr/bin/gateway", "run"], ["-P", "/usr/bin/gateway"]),
        (["/opt/gateway", "run"], ["/opt/gateway", "run"], []),
    ],
)
def test_how_a_configuration_is_checked_as_this_process_was_started(
    original: list[str], arguments: list[str], launcher: list[str]
) -> None:
    assert check_words(original, arguments, Path("r.yaml")) == [*launcher, "check", "-c", "r.yaml"]
