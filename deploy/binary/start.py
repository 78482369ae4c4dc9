"""Where the one-file executable starts.

There `sys.executable` is the executable itself. What starts another Python with `sys.executable -m MODULE`, as
`gateway demo` does for its services, gets the same here as from a Python of the machine.
"""

from __future__ import annotations

import runpy
import sys


def main() -> None:
    """The `gateway` command, or one module of the gateway as a program: `[-P] -m gateway.MODULE`."""
    words = [word for word in sys.argv[1:3] if word != "-P"]
    if words[:1] == ["-m"]:
        sys.argv = sys.argv[sys.argv.index("-m") + 1 :]
        if sys.argv[0].partition(".")[0] == "gateway":
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
            return
        raise SystemExit(f"{sys.argv[0]} is no module of the gateway")
    from gateway.cli.main import main as command

    command(prog_name="gateway")


main()
