"""Where the one-file executable starts.

There `sys.executable` is the executable itself. What starts another Python with `sys.executable -m MODULE`, as
`gateway demo` does for its services, gets the same here as from a Python of the machine.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import sys

# They wait for a signal, and a second one means "at once".
WAIT_FOR_SIGNALS = ("run", "demo")


def main() -> None:
    """The `gateway` command, or one module of the gateway as a program: `[-P] -m gateway.MODULE`."""
    words = [word for word in sys.argv[1:3] if word != "-P"]
    if words[:1] == ["-m"]:
        sys.argv = sys.argv[sys.argv.index("-m") + 1 :]
        if sys.argv[0].partition(".")[0] != "gateway":
            raise SystemExit(f"{sys.argv[0]} is no module of the gateway")
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        return
    if words[:1] and words[0] in WAIT_FOR_SIGNALS:
        # The process that unpacked this one hands on what it gets: without a group of its own, Ctrl-C would come twice.
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
    from gateway.cli.main import main as command

    command(prog_name="gateway")


main()
