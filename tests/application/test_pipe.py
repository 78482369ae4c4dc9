"""Two ends of a pipe keep asyncio's rules for transports."""

import asyncio
import gc
import weakref
from contextvars import Context, ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.application.pipe import HIGH, JOIN, LOW, PipeEnd, join
from tests.support.polling import turns


class Noting(asyncio.Protocol):
    """Writes down what it is told. `act` is called with each piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.told: list[str] = []
        self.lost: list[Exception | None] = []
        self.act: Any = None

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        if self.act is not None:
            self.act(data)

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.told.append("lost")
        self.lost.append(error)


def pipe(prompt: bool = False) -> tuple[PipeEnd, PipeEnd, Noting, Noting]:
    """Two ends and their protocols; `prompt` is the second's."""
    near, far = Noting(), Noting()
    context = Context()
    first, second = PipeEnd(near, context), PipeEnd(far, context, prompt=prompt, info={"peername": ("here", 0)})
    join(first, second)
    return first, second, near, far


async def test_both_are_told_of_it() -> None:
    first, second, near, far = pipe()
    assert (near.told, far.told) == (["made"], ["made"])
    assert (first.peer, second.peer) == (second, first)
    assert (first.get_protocol(), second.get_protocol()) == (near, far)
    assert (second.get_extra_info("peername"), first.get_extra_info("socket", 7)) == (("here", 0), 7)
    assert (first.can_write_eof(), first.is_closing(), first.is_reading()) == (False, False, True)
    other = Noting()
    second.set_protocol(other)
    first.write(b"x")
    await turns()
    assert other.data == b"x"


@pytest.mark.parametrize("prompt", [True, False])
async def test_prompt_ends_read_within_the_write_and_others_after_it(prompt: bool) -> None:
    first, second, near, far = pipe(prompt)
    first.write(b"a")
    first.write(bytearray(b"b"))
    first.writelines([b"c", memoryview(b"d")])
    assert far.pieces == ([b"a", b"b", b"cd"] if prompt else [])
    second.write(b"e")
    assert near.pieces == []
    await turns()
    assert (far.data, near.data) == (b"abcd", b"e")
    assert (first.get_write_buffer_size(), len(far.pieces)) == (0, 3 if prompt else 1)


async def test_what_was_written_may_be_changed_afterwards() -> None:
    first, _, _, far = pipe()
    data = bytearray(b"before")
    first.write(data)
    data[:] = b"after!"
    await turns()
    assert far.data == b"before"


async def test_large_pieces_are_not_joined() -> None:
    first, _, _, far = pipe()
    pieces = [bytes(JOIN), b"x", bytes(JOIN)]
    for piece in pieces:
        first.write(piece)
    await turns()
    assert far.data == b"".join(pieces)
    assert far.pieces[0] is pieces[0]


@pytest.mark.parametrize("prompt", [True, False])
async def test_a_reader_that_pauses_pauses_the_writer(prompt: bool) -> None:
    first, second, near, far = pipe(prompt)
    second.pause_reading()
    first.write(bytes(HIGH))
    await turns()
    assert (near.told, far.data) == (["made"], b"")
    first.write(b"x")
    first.write(b"y")
    assert (near.told, first.get_write_buffer_size()) == (["made", "pause"], HIGH + 2)
    second.resume_reading()
    assert far.data == b""
    await turns()
    assert (near.told, len(far.data)) == (["made", "pause", "resume"], HIGH + 2)


async def test_it_resumes_at_the_low_mark_and_not_before() -> None:
    first, second, near, far = pipe()
    first.set_write_buffer_limits(100, 50)
    second.pause_reading()
    for _ in range(5):
        first.write(bytes(JOIN))
    far.act = lambda data: second.pause_reading() if len(far.pieces) == 4 else None
    second.resume_reading()
    await turns()
    assert near.told == ["made", "pause"]
    second.resume_reading()
    await turns()
    assert near.told == ["made", "pause", "resume"]


async def test_limits_are_checked() -> None:
    first, _, _, _ = pipe()
    assert first.get_write_buffer_limits() == (LOW, HIGH)
    first.set_write_buffer_limits(low=10)
    assert first.get_write_buffer_limits() == (10, 40)
    first.set_write_buffer_limits(0)
    assert first.get_write_buffer_limits() == (0, 0)
    first.set_write_buffer_limits()
    assert first.get_write_buffer_limits() == (LOW, HIGH)
    with pytest.raises(ValueError, match="must be >= low"):
        first.set_write_buffer_limits(1, 2)


async def test_close_delivers_what_was_written_before() -> None:
    first, second, near, far = pipe()
    second.pause_reading()
    second.write(b"never read")
    first.write(b"last words")
    first.close()
    first.close()
    first.write(b"too late")
    await turns()
    assert (first.is_closing(), near.lost, far.lost) == (True, [], [])
    second.resume_reading()
    await turns()
    assert (far.data, near.data) == (b"last words", b"")
    assert (near.lost, far.lost) == ([None], [None])


async def test_a_writer_that_waits_for_a_closed_reader_waits_no_more() -> None:
    first, second, near, far = pipe()
    near.act = None
    first.pause_reading()
    second.write(bytes(HIGH + 1))
    second.pause_reading()
    first.write(b"unread")
    first.close()
    await turns()
    assert far.told == ["made", "pause", "resume"]


async def test_both_may_close() -> None:
    first, second, near, far = pipe()
    first.write(b"a")
    first.close()
    second.close()
    await turns()
    assert (near.told, far.told, far.data) == (["made", "lost"], ["made", "lost"], b"")


async def test_abort_is_told_to_the_other_end_and_never_within_the_call() -> None:
    first, second, near, far = pipe()
    first.write(b"gone")
    first.abort()
    assert (near.lost, far.lost, second.is_closing()) == ([], [], True)
    second.write(b"x")
    await turns()
    assert near.lost == [None]
    assert isinstance(far.lost[0], ConnectionResetError)
    assert far.data == b""
    first.abort()
    second.close()
    await turns()
    assert (len(near.lost), len(far.lost)) == (1, 1)


@pytest.mark.parametrize("prompt", [True, False])
async def test_a_protocol_that_fails_loses_the_connection(prompt: bool, caplog: pytest.LogCaptureFixture) -> None:
    first, _, near, far = pipe(prompt)
    far.act = lambda data: 1 / 0
    first.write(b"x")
    await turns()
    assert (len(near.lost), far.lost) == (1, [None])
    assert "ZeroDivisionError" in caplog.text


async def test_nothing_of_the_writers_context_gets_to_the_reader() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="nothing")
    first, second, near, _ = pipe(prompt=True)
    seen = []
    near.act = lambda data: seen.append(variable.get())
    variable.set("the writer's")
    second.write(b"x")
    await turns()
    assert seen == ["nothing"]
    assert first.peer is second


async def test_no_loop_sends_a_file_by_itself() -> None:
    first, _, _, _ = pipe()
    with pytest.raises(NotImplementedError):
        await asyncio.get_running_loop().sendfile(first, None)  # type: ignore[arg-type]


OPERATIONS = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 40_000)),
    st.tuples(st.sampled_from(["pause", "resume", "turn"]), st.just(0)),
)


@pytest.mark.parametrize("prompt", [True, False])
@given(st.lists(OPERATIONS, max_size=40))
def test_every_byte_arrives_in_order_and_no_more_waits_than_the_mark(
    prompt: bool, operations: list[tuple[str, int]]
) -> None:
    async def walk() -> None:
        first, second, near, far = pipe(prompt)
        sent = b""
        for name, size in operations:
            # A writer that keeps to what it is told.
            if name == "write" and near.told[-1] != "pause":
                piece = bytes([len(sent) % 251]) * size
                sent += piece
                first.write(piece)
            elif name == "pause":
                second.pause_reading()
            elif name == "resume":
                second.resume_reading()
            elif name == "turn":
                await asyncio.sleep(0)
            assert first.get_write_buffer_size() <= HIGH + 40_000
            assert sent.startswith(far.data)
        second.resume_reading()
        first.close()
        await turns(5)
        assert far.data == sent
        assert (near.lost, far.lost) == ([None], [None])

    asyncio.run(walk())


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_nothing_keeps_an_end_that_is_lost(end: str) -> None:
    first, second, near, far = pipe()
    second.write(bytes(HIGH + 1))
    gone = [weakref.ref(protocol) for protocol in (near, far)]
    getattr(first, end)()
    await turns()
    first.write(b"x")
    first.close()
    first.abort()
    assert (first.get_write_buffer_size(), len(near.lost), len(far.lost)) == (0, 1, 1)
    gc.disable()
    try:
        del first, second, near, far
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()
