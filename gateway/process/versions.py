"""The configurations that went into service of late, with all it takes to load each of them again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from gateway.config.files import Kept

MOST: Final = 20
MOST_BYTES: Final = 16 << 20
# In place of a number: the version before the one in service.
PREVIOUS: Final = 0
START: Final = "start"
RELOAD: Final = "reload"
WATCH: Final = "watch"


@dataclass(frozen=True, slots=True)
class Version:
    """One configuration that went into service at `at` (seconds since 1970) since `why`: START, RELOAD, WATCH, or a
    rollback in words; then `restored` is the version whose files it brought back, else 0."""

    number: int
    digest: str
    at: float
    why: str
    kept: Kept = field(repr=False)
    restored: int = 0

    @property
    def origin(self) -> int:
        """The version that first had these files."""
        return self.restored or self.number


class Versions:
    """Mutable state: the last 20, oldest first; fewer when their files together are more than 16 MiB, and at least the
    one in service. Plain data, so that a worker can be given all of it."""

    def __init__(self) -> None:
        self._kept: deque[Version] = deque(maxlen=MOST)

    def __iter__(self) -> Iterator[Version]:
        return iter(self._kept)

    @property
    def newest(self) -> Version | None:
        """The one in service, None before the first."""
        return self._kept[-1] if self._kept else None

    def add(self, version: Version) -> None:
        """It is in service now."""
        self._kept.append(version)
        while len(self._kept) > 1 and sum(one.kept.size for one in self._kept) > MOST_BYTES:
            self._kept.popleft()

    def find(self, number: int = PREVIOUS) -> Version:
        """The version of that number. LookupError, with what there is, when it is not kept.

        PREVIOUS is the last one with other files before those in service first were: so a second rollback goes back
        further, and does not bring back what the first one was to get rid of.
        """
        if number == PREVIOUS:
            return self._before()
        for version in self._kept:
            if version.number == number:
                return version
        raise LookupError(f"version {number} is not kept; there are {', '.join(str(one.number) for one in self._kept)}")

    def _before(self) -> Version:
        current = self._kept[-1]
        for version in reversed(self._kept):
            if version.number < current.origin and version.kept != current.kept:
                return version
        raise LookupError("no version before the one in service is kept")
