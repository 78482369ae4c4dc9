"""Files beside the configuration that hold credentials."""

from __future__ import annotations

from pathlib import Path


def read_beside(folder: Path, name: str) -> bytes:
    """The file `name`, which is relative to `folder`. ValueError when it cannot be read."""
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ValueError(f"the file {name!r} cannot be read ({error.strerror}); it is looked for in {folder}") from None
