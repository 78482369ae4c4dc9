"""The demo's children: started in order, watched, stopped in order. A stand-in takes the gateway's part."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.fields import Bind
from gateway.demo import runner
from gateway.demo.plan import PACKAGED_ROUTES, Plan, make_plan
from gateway.demo.runner import run_plan

# Listens on the admin port and answers everything with 200 until SIGTERM, which it may ignore.
GATEWAY = """
import http.server, os, signal, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *args): pass
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2:] else lambda *_: os._exit(0))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""


@pytest.fixture
def plan(unused_tcp_port_factory: Callable[[], int]) -> Plan:
    *service_ports, listener, admin = (unused_tcp_port_factory() for _ in range(6))
    return replace(
        make_plan(PACKAGED_ROUTES),
        services_command=[sys.executable, "-m", "gateway.demo.services", "--ports", *map(str, service_ports)],
        gateway_command=[sys.executable, "-c", GATEWAY, str(admin)],
        service_ports=service_ports,
        listener=Bind("127.0.0.1", listener),
        admin=Bind("127.0.0.1", admin),
    )


async def started(plan: Plan, capsys: pytest.CaptureFixture[str]) -> asyncio.Task[int]:
    """The demo as a task, once it has said that it is ready."""
    task = asyncio.create_task(run_plan(plan))
    while not task.done():
        if "ready: " in capsys.readouterr().out:
            return task
        await asyncio.sleep(0.02)
    pytest.fail(f"the demo ended with {task.result()}: {capsys.readouterr().err}")


def everything_is_free(plan: Plan) -> bool:
    for _, bind in plan.binds():
        with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
            probe.connect((bind.host, bind.port))
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_all(plan: Plan, capsys: pytest.CaptureFixture[str], number: signal.Signals) -> None:
    demo = await started(plan, capsys)

    os.kill(os.getpid(), number)

    assert await demo == 0
    assert everything_is_free(plan)


async def test_who_ignores_sigterm_is_killed(
    plan: Plan, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "STOP_WITHIN", 0.2)
    demo = await started(replace(plan, gateway_command=[*plan.gateway_command, "stubborn"]), capsys)

    os.kill(os.getpid(), signal.SIGTERM)

    assert await demo == 0
    assert everything_is_free(plan)


async def test_a_second_signal_does_not_wait(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    demo = await started(replace(plan, gateway_command=[*plan.gateway_command, "stubborn"]), capsys)
    before = time.monotonic()

    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)

    assert await demo == 0
    assert time.monotonic() - before < runner.STOP_WITHIN


async def test_a_taken_port_is_named(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server((plan.admin.host, plan.admin.port)):
        code = await run_plan(plan)

    assert code == 1
    assert f"the gateway's admin listener cannot have {plan.admin}: " in capsys.readouterr().err


async def test_a_gateway_that_ends_at_once_ends_the_demo(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    code = await run_plan(replace(plan, gateway_command=[sys.executable, "-c", "raise SystemExit(2)"]))

    assert code == 1
    assert "the gateway ended with exit code 2" in capsys.readouterr().err
    assert everything_is_free(plan)


async def test_services_that_die_end_the_demo(plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pid_file = tmp_path / "pid"
    write_pid = f"import os; open({str(pid_file)!r}, 'w').write(str(os.getpid()))"
    code = f"{write_pid}; from gateway.demo.services import main; main()"
    command = [sys.executable, "-c", code, *plan.services_command[3:]]
    demo = await started(replace(plan, services_command=command), capsys)

    os.kill(int(pid_file.read_text()), signal.SIGKILL)

    assert await demo == 1
    assert "the sample services ended by SIGKILL" in capsys.readouterr().err
    assert everything_is_free(plan)


async def test_a_gateway_that_never_gets_ready_is_given_up(
    plan: Plan, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "GATEWAY_READY_WITHIN", 0.3)

    code = await run_plan(replace(plan, gateway_command=[sys.executable, "-c", "import time; time.sleep(60)"]))

    assert code == 1
    assert f"the gateway did not get ready in 0.3 s (http://{plan.admin}/readyz)" in capsys.readouterr().err


def test_the_demo_needs_addresses_to_show() -> None:
    with pytest.raises(runner.DemoFailed, match="would listen on unix:/run/a: give the demo another"):
        runner._require_free("the gateway", Bind.parse("unix:/run/a"))
