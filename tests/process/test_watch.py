"""A change on the disk counts when its content is another, and stays so."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.config.files import Kept, Read
from gateway.process import watch as watch_module
from gateway.process.siblings import Alone
from gateway.process.watch import Watch, code_of, watch
from gateway.process.worker import watched_by
from tests.support.polling import eventually
from tests.support.runtimes import HEAD, PING, Running, running, write_config, write_plugin

OTHER = HEAD + PING.replace("/ping", "/other")
WATCH = "reload: {watch: true, interval: 5ms}\n"


def disk(text: str) -> tuple[Kept]:
    return (Kept({"routes.yaml": Read(text.encode(), 0, 100)}),)


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ("aaaa", "...."),
        ("abbb", "..+."),
        # Written in pieces, away for a moment, as it was again.
        ("bcdd", "...+"),
        ("ab-b", "...."),
        ("bab", "..."),
        ("bbcc", ".+.+"),
        ("bbccbb", ".+.+.+"),
        ("bbaabb", ".+...+"),
    ],
)
def test_when_a_change_counts(looks: str, expected: str) -> None:
    """What was read stays `a`, since everything else is refused before it is read."""
    watch = Watch()
    told = [watch.changed(disk("a"), disk(look)) for look in looks]
    assert "".join("+" if one else "." for one in told) == expected


def test_what_was_read_does_not_count() -> None:
    watch = Watch()
    assert [watch.changed(disk(read), disk(seen)) for read, seen in ("ab", "bb", "bb", "ba", "ba")] == [
        *(False, False, False, False),
        True,
    ]


def test_code_is_what_local_plugins_may_import(tmp_path: Path) -> None:
    write_plugin(tmp_path, "mine", "")
    before = code_of(tmp_path)
    assert before.looked_at_again() == before
    write_plugin(tmp_path, "_helper", "")
    assert before.looked_at_again() != before
    (tmp_path / "plugins" / "notes.txt").write_text("")
    assert code_of(tmp_path) == before.looked_at_again()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "plugins").symlink_to(Path(__file__).parents[2] / "plugins")
    assert code_of(tmp_path / "b") == Kept()


@contextlib.asynccontextmanager
async def watching(worker: Running, always: bool = False) -> AsyncIterator[None]:
    task = asyncio.create_task(watch(*watched_by(worker.runtime, Alone(worker.runtime), always)))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


def path_served(worker: Running) -> str:
    return worker.runtime.proxy.table.router.routes[0].pattern.text


def saved_by_rename(path: Path, text: str) -> None:
    new = path.with_name(".routes.yaml.swp")
    new.write_text(text)
    new.rename(path)


def saved_with_its_old_time(path: Path, text: str) -> None:
    times = path.stat()
    path.write_text(text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("save", [saved_by_rename, saved_with_its_old_time, Path.write_text])
async def test_however_it_is_saved(tmp_path: Path, save: Callable[[Path, str], object]) -> None:
    async with running(tmp_path, WATCH + HEAD + PING) as worker, watching(worker):
        save(worker.runtime.path, WATCH + HEAD + PING.replace("/ping", "/pong"))
        await eventually(lambda: path_served(worker) == "/pong")
        assert [one.why for one in worker.runtime.versions] == ["start", "watch"]


async def test_a_config_map(tmp_path: Path) -> None:
    """kubelet writes a folder of its own for each version and swaps `..data`, to which the files are links."""

    def written(name: str, path: str) -> None:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "routes.yaml").write_text(WATCH + HEAD + "include: [more-*.yaml]\n")
        (folder / "more-a.yaml").write_text(PING.replace("/ping", path))
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    written("..1", "/one")
    (tmp_path / "more-a.yaml").symlink_to("..data/more-a.yaml")
    async with running(tmp_path, WATCH + HEAD + "include: [more-*.yaml]\n") as worker:
        worker.runtime.path.unlink()
        worker.runtime.path.symlink_to("..data/routes.yaml")
        async with watching(worker):
            written("..2", "/two")
            await eventually(lambda: path_served(worker) == "/two")
            written("..3", "/two")
            (tmp_path / "more-b.yaml").write_text("routes: [{name: b, match: {path: /b}, respond: {text: b}}]\n")
            await eventually(lambda: len(worker.runtime.proxy.table.router.routes) == 2)
            assert worker.runtime.version == 3, "a folder with the same files is no change"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Kept, ...]]:
    """Each look that was taken."""
    taken: list[tuple[Kept, ...]] = []
    look = watch_module._look

    def noted(known: tuple[Kept, ...]) -> tuple[Kept, ...]:
        taken.append(known)
        return look(known)

    monkeypatch.setattr(watch_module, "_look", noted)
    return taken


async def several(looks: list[tuple[Kept, ...]]) -> None:
    """Wait until enough looks were taken for a change to be noticed."""
    looks.clear()
    await eventually(lambda: len(looks) > 5)


async def test_what_is_refused_is_not_tried_again_before_it_changes(
    tmp_path: Path, looks: list[tuple[Kept, ...]]
) -> None:
    async with running(tmp_path, WATCH + HEAD + PING) as worker, watching(worker):
        failures = worker.runtime.metrics.counter("gateway_config_reloads_total", "", ("result",)).labels("failure")
        worker.write(WATCH + HEAD + "routes: [{nam: a}]\n")
        await eventually(lambda: failures.value == 1)
        await several(looks)
        assert failures.value == 1
        assert path_served(worker) == "/ping"
        worker.write(WATCH + OTHER)
        await eventually(lambda: path_served(worker) == "/other")


async def test_a_rollback_stays_until_the_files_change(tmp_path: Path, looks: list[tuple[Kept, ...]]) -> None:
    async with running(tmp_path, WATCH + HEAD + PING) as worker, watching(worker):
        worker.write(WATCH + OTHER)
        await eventually(lambda: path_served(worker) == "/other")
        assert await worker.runtime.reload(back_to=1)
        await several(looks)
        assert path_served(worker) == "/ping"
        worker.write(WATCH + HEAD + PING.replace("/ping", "/third"))
        await eventually(lambda: path_served(worker) == "/third")


async def test_it_begins_and_ends_with_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "ASKED_EVERY", 0.005)
    async with running(tmp_path) as worker, watching(worker):
        interval, _, _ = watched_by(worker.runtime, Alone(worker.runtime), False)
        assert interval() is None
        worker.write(WATCH + HEAD + PING)
        assert await worker.runtime.reload()
        assert interval() == 0.005
        worker.write(OTHER)
        await eventually(lambda: path_served(worker) == "/other")
        assert interval() is None
        always, _, _ = watched_by(worker.runtime, Alone(worker.runtime), True)
        assert always() == 1.0
        worker.runtime.reloading.reads_code = True
        assert always() == 0.25


async def test_a_look_that_fails_is_not_the_last(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = (Kept({str(write_config(tmp_path, "a")): Read(b"b", 0, 100)}),)
    failures = [OSError("gone")]
    told = asyncio.Event()

    async def changed() -> None:
        told.set()

    def read() -> tuple[Kept]:
        if failures:
            raise failures.pop()
        return known

    task = asyncio.create_task(watch(lambda: 0.001, read, changed))
    await eventually(told.is_set)
    assert "gone" in caplog.text
    task.cancel()
    await asyncio.wait((task,))
