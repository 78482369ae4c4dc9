"""Whose connections a worker has, from what the kernel says."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from loadtest.bench.workers import client_ports, parse_connections

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the bench needs Linux and its /proc")
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:9C40 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0000000000000000 20 4 30 10 -1
   3: 0100007F:1F90 0100007F:9C41 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0000000000000000
"""  # noqa: E501


def test_only_open_connections_to_the_port() -> None:
    assert parse_connections(TCP, 8080) == {12: 40000}
    assert parse_connections(TCP, 40000) == {13: 8080}


def test_those_of_this_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            # Nobody has it before it is accepted.
            assert client_ports(os.getpid(), port) == set()
            accepted, _ = server.accept()
            with accepted:
                assert client_ports(os.getpid(), port) == {client.getsockname()[1]}
