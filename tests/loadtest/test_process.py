"""Nothing that the bench starts may outlive it."""

import os
import select
import signal
import socket
import sys

import pytest

from loadtest.bench.measure import family
from loadtest.bench.process import HarnessError, Sandbox, free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the bench needs Linux and its /proc")

PARENT_AND_CHILD = ["sh", "-c", "sleep 600 & echo ready; wait"]


def start(sandbox):
    """A process with a child of its own, both running."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as output:
        child = sandbox.start("family", PARENT_AND_CHILD, None, output)
    with os.fdopen(reader, "rb") as said:
        assert said.readline() == b"ready\n"
    return child


def watch(child):
    """A file descriptor for each process of the family, which becomes readable when that process has ended."""
    return [os.pidfd_open(pid) for pid in family(child.pid)]


def all_ended(watched):
    """Whether every one of them has; the kernel may need a moment for the last."""
    try:
        return all(select.select([descriptor], [], [], 10)[0] for descriptor in watched)
    finally:
        for descriptor in watched:
            os.close(descriptor)


def test_leaving_ends_children_and_their_children_and_removes_the_directory():
    with Sandbox() as sandbox:
        watched = watch(start(sandbox))
        directory = sandbox.directory
        assert len(watched) == 2
        assert directory.is_dir()
    assert all_ended(watched)
    assert not directory.exists()


def test_an_error_ends_them_too():
    watched = []

    def fail():
        with Sandbox() as sandbox:
            watched.extend(watch(start(sandbox)))
            raise HarnessError("on purpose")

    with pytest.raises(HarnessError):
        fail()
    assert len(watched) == 2
    assert all_ended(watched)


def test_sigterm_ends_them_too():
    watched = []

    def be_told_to_stop():
        with Sandbox() as sandbox:
            watched.extend(watch(start(sandbox)))
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit):
        be_told_to_stop()
    assert len(watched) == 2
    assert all_ended(watched)


def test_a_peer_that_ended_says_why():
    with Sandbox() as sandbox:
        child = sandbox.start("broken", ["sh", "-c", "echo no such option >&2; exit 3"], None)
        child.process.wait()
        with pytest.raises(HarnessError, match="broken ended with 3: no such option"):
            child.require_alive()


def test_a_free_port_can_be_had():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
