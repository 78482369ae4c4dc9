"""Reading wrk's words, and when a run counts."""

import pytest

from loadtest.bench.generator import Outcome, Target, command, lua_script, parse_wrk, problem_of
from loadtest.bench.process import HarnessError

CLEAN = """Running 3s test @ http://127.0.0.1:21000/small
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.02ms    0.50ms  20.00ms   90.00%
    Req/Sec    31.00k     2.00k   35.00k    70.00%
  93021 requests in 3.01s, 26.00MB read
Requests/sec:  30904.00
Transfer/sec:      8.64MB
"""
TROUBLED = """  1 threads and 32 connections
  120 requests in 1.50m, 26.00MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 17
"""


def test_a_clean_run_is_read():
    assert parse_wrk(CLEAN) == Outcome(requests=93021, seconds=3.01, unsuccessful=0, errors=0)


def test_errors_and_units_are_read():
    assert parse_wrk(TROUBLED) == Outcome(requests=120, seconds=90.0, unsuccessful=17, errors=10)


def test_milliseconds_are_read():
    assert parse_wrk("  5 requests in 500.00ms, 1KB read\n").seconds == 0.5


def test_output_without_a_total_is_an_error():
    with pytest.raises(HarnessError, match="no total"):
        parse_wrk("unable to connect to 127.0.0.1:1 Connection refused")


@pytest.mark.parametrize(
    ("outcome", "succeeds", "problem"),
    (
        (Outcome(10, 1, 0, 0), True, None),
        (Outcome(10, 1, 1, 0), True, "1 of 10 answers with the wrong status"),
        (Outcome(10, 1, 10, 0), False, None),
        (Outcome(10, 1, 7, 0), False, "3 of 10 answers with the wrong status"),
        (Outcome(10, 1, 0, 2), True, "2 socket errors"),
        (Outcome(0, 1, 0, 0), True, "no request completed"),
    ),
)
def test_only_a_run_without_errors_counts(outcome, succeeds, problem):
    assert problem_of(outcome, succeeds) == problem


def test_a_script_asks_for_every_path_in_turn():
    script = lua_script(("/a", '/"b"'))
    assert 'local paths = {"/a","/\\"b\\""}' in script


def test_wrk_gets_one_thread_many_connections_and_nine_headers(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/" + name)
    line = command(Target(8080, ("/small",)), 3.0, tmp_path)
    assert line[:4] == ["/usr/bin/wrk", "-t1", "-c32", "-d3s"]
    assert line.count("-H") == 8  # and Host
    assert line[-1] == "http://127.0.0.1:8080/small"
    assert "-s" not in line


def test_several_paths_need_a_script(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/" + name)
    line = command(Target(8080, ("/a", "/b")), 0.2, tmp_path)
    assert "-d1s" in line  # wrk knows whole seconds only
    assert (tmp_path / "paths.lua").read_text() == lua_script(("/a", "/b"))


def test_without_wrk_our_own_generator_is_asked_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    line = command(Target(8080, ("/a", "/b")), 2.0, tmp_path)
    assert line[1:5] == ["-m", "loadtest.own_generator", "-c32", "-d2"]
    assert (tmp_path / "paths").read_text().split() == ["/a", "/b"]
    assert line.count("-H") == 8
