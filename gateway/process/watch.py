"""Notices that what a configuration was read from has changed on the disk.

Files are read again and compared, at every look: times and inodes lie (a ConfigMap swaps a symbolic link, an editor
renames, NFS keeps attributes back), and notifications do not come from every file system. A configuration of 1 MiB
costs a millisecond a look, in a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.config.files import Disk, Kept
from gateway.library import holds_built_ins

log = logging.getLogger("gateway.process")
# Between two questions whether to look at all.
ASKED_EVERY = 1.0

Contents = tuple[Kept, ...]


class Watch:
    """Decides when a change counts. Mutable state: the last look, and what was told last."""

    def __init__(self) -> None:
        self._last: Contents | None = None
        self._told: Contents | None = None

    def changed(self, read: Contents, seen: Contents) -> bool:
        """Is what was seen now to be loaded? `read` is what was loaded last, or refused.

        Only when two looks in a row agree, since a file is written in pieces and may be away for a moment; and once,
        since what is refused stays refused until it changes again.
        """
        settled = seen == self._last
        self._last = seen
        if seen == read:
            self._told = None
            return False
        if not settled or seen == self._told:
            return False
        self._told = seen
        return True


def code_of(folder: Path) -> Kept:
    """The code of the local plugins of a configuration in `folder`, and all that they may import from theirs."""
    disk = Disk()
    if not holds_built_ins(folder / "plugins"):
        for path in disk.matches("plugins/**/*.py", folder):
            disk.note(path)
    return disk.kept()


async def watch(
    interval: Callable[[], float | None], read: Callable[[], Contents], changed: Callable[[], Awaitable[object]]
) -> None:
    """Look again and again, and await `changed` when what is on the disk is not what was read.

    `interval` gives the seconds between two looks, None for none just now; `read` what was last read from the disk,
    whatever came of it.
    """
    decides = Watch()
    while True:
        seconds = interval()
        await asyncio.sleep(ASKED_EVERY if seconds is None else seconds)
        if seconds is None:
            continue
        try:
            known = read()
            seen = await asyncio.to_thread(_look, known)
            # Somebody else may have had it loaded meanwhile.
            if read() == known and decides.changed(known, seen):
                log.info("the configuration has changed on the disk")
                await changed()
        except Exception:
            log.exception("a look at the configuration failed; there will be another")


def _look(known: Contents) -> Contents:
    return tuple(one.looked_at_again() for one in known)
