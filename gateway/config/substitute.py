"""`${...}` in scalars, filled in after parsing, so that no value can change the structure of the file.

`${VAR}` and `${env:VAR}` are variables, `${VAR:-default}` is used when VAR is unset or empty, `${VAR:?message}` makes
that an error in one's own words, `${file:/run/secrets/x}` is the text of a file without its last line end, and `$${`
is a plain `${`. The result is text; a field that wants a number reads it as one. Substitutions do not nest.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.config.files import Disk, Files
from gateway.config.nodes import Node
from gateway.config.problems import Problem, closest

MAX_FILE_BYTES: Final = 1 << 20

_PLACE = re.compile(r"\$(\$\{)|\$\{([^{}]*)(\}?)")
_VARIABLE = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?:(:[-?])(.*))?", re.DOTALL)


class Substitution:
    """Fills in the scalars of one configuration. `problems` and `secrets` (the texts that came from files) grow."""

    def __init__(self, environ: Mapping[str, str], folder: Path, files: Files | None = None) -> None:
        """`folder` is where a relative `${file:...}` begins, `files` what it is read through; the disk by default."""
        self._files = files if files is not None else Disk()
        self._environ = environ
        self._folder = folder
        self.problems: list[Problem] = []
        self.secrets: set[str] = set()

    def apply(self, node: Node) -> None:
        """Replace every `${...}` in the text of `node`."""

        def fill(place: re.Match[str]) -> str:
            escaped, inside, closed = place.groups()
            if escaped:
                return "${"
            node.substituted = True
            if not closed:
                # The end is missing, or another brace comes first: `${A:-${B}}`.
                hint = "substitutions do not nest; write $${ for a plain ${"
                self._report(node, "'${' without its '}'", hint)
                return ""
            return self._text_file(node, inside[5:]) if inside.startswith("file:") else self._variable(node, inside)

        node.value = _PLACE.sub(fill, node.value)

    def _variable(self, node: Node, inside: str) -> str:
        match = _VARIABLE.fullmatch(inside)
        if match is None:
            self._report(
                node, f"'${{{inside}}}' is not a substitution", "write ${NAME}, ${NAME:-default} or ${file:/path}"
            )
            return ""
        name, operator, rest = match.groups()
        value = self._environ.get(name)
        if value or (value is not None and operator is None):
            return value
        if operator == ":-":
            return str(rest)
        if operator == ":?":
            self._report(node, f"{name}: {rest}" if rest else f"the variable {name} is not set")
        else:
            hint = closest(name, self._environ) or f"set it, or write ${{{name}:-default}}"
            self._report(node, f"the variable {name} is not set", hint)
        return ""

    def _text_file(self, node: Node, name: str) -> str:
        try:
            text = self._files.read(self._folder / name, MAX_FILE_BYTES).decode()
        except OSError as error:
            large = error.errno == errno.EFBIG
            reason = f"cannot read {name!r}: {(error.strerror or str(error)).lower()}"
            self._report(node, f"{name!r} is larger than 1MiB" if large else reason)
            return ""
        except ValueError:
            self._report(node, f"{name!r} is not UTF-8")
            return ""
        secret = text.removesuffix("\n").removesuffix("\r")
        if secret:
            self.secrets.add(secret)
        return secret

    def _report(self, node: Node, message: str, hint: str = "") -> None:
        self.problems.append(Problem(node.position, message, hint))
