"""Where a configuration's bytes come from: the disk, which remembers what was read, or what it remembered.

Every process of a gateway must load the same bytes, and a rollback loads those of then, so nothing else on the way
from a path to a specification reads a file.
"""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple, Protocol

# The most that one file may hold, and all files of a configuration together: versions of it are kept in memory.
MOST_BYTES: Final = 32 << 20


class Read(NamedTuple):
    """What came of reading a file, of which `most` bytes were wanted. `data` is None for a failure, whose number (of
    `errno`) is `failure`."""

    data: bytes | None
    failure: int
    most: int


class Files(Protocol):
    """What a configuration is read through."""

    def read(self, path: Path, most: int = MOST_BYTES) -> bytes:
        """All of a file. OSError; with errno.EFBIG when it holds more than `most` bytes."""

    def matches(self, pattern: str, folder: Path) -> tuple[Path, ...]:
        """The files that a glob below `folder` matches now, in the order of their names."""

    def identity(self, path: Path) -> str:
        """Equal for two paths to one file."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Everything that was read for one configuration, to be read again. Plain data, so that it can be pickled; it
    holds secrets, so that its repr shows nothing."""

    contents: Mapping[str, Read] = field(default_factory=dict, repr=False)
    globs: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict, repr=False)
    identities: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(len(one.data or b"") for one in self.contents.values())

    def read(self, path: Path, most: int = MOST_BYTES) -> bytes:
        """As it was then."""
        found = self.contents.get(str(path))
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "it is not among the files that were kept", str(path))
        return _result(found, path)

    def matches(self, pattern: str, folder: Path) -> tuple[Path, ...]:
        """As it was then; nothing for a glob that nobody asked for then."""
        return tuple(map(Path, self.globs.get((pattern, str(folder)), ())))

    def identity(self, path: Path) -> str:
        """As it was then."""
        return self.identities.get(str(path), str(path))

    def looked_at_again(self) -> Kept:
        """What the disk has now in the same places, files that have come under a glob included: equal when it would
        be loaded as the same."""
        disk = Disk()
        for name, known in self.contents.items():
            disk.note(Path(name), known.most)
        for pattern, folder in self.globs:
            for path in disk.matches(pattern, Path(folder)):
                disk.note(path)
        return replace(disk.kept(), identities=self.identities)


class Disk:
    """Reads, each file once, and remembers. Mutable state: what was read so far."""

    def __init__(self) -> None:
        self._contents: dict[str, Read] = {}
        self._globs: dict[tuple[str, str], tuple[str, ...]] = {}
        self._identities: dict[str, str] = {}
        self._left = MOST_BYTES

    def read(self, path: Path, most: int = MOST_BYTES) -> bytes:
        """All of a file, as it was when it was asked for first."""
        return _result(self.note(path, most), path)

    def note(self, path: Path, most: int = MOST_BYTES) -> Read:
        """Read a file and remember what came of it."""
        known = self._contents.get(str(path))
        if known is None or (known.failure == errno.EFBIG and known.most < most):
            known = self._contents[str(path)] = self._read(path, most)
            self._left -= len(known.data or b"")
        return known

    def _read(self, path: Path, most: int) -> Read:
        try:
            with path.open("rb") as file:
                data = file.read(min(most, self._left) + 1)
        except OSError as error:
            return Read(None, error.errno or errno.EIO, most)
        except ValueError:
            # A NUL in the name.
            return Read(None, errno.EINVAL, most)
        return Read(data, 0, most) if len(data) <= min(most, self._left) else Read(None, errno.EFBIG, most)

    def matches(self, pattern: str, folder: Path) -> tuple[Path, ...]:
        """What the glob matches when it is asked for first."""
        key = (pattern, str(folder))
        if key not in self._globs:
            found = [folder / name for name in sorted(glob.glob(pattern, root_dir=folder, recursive=True))]
            self._globs[key] = tuple(str(path) for path in found if path.is_file())
        return tuple(map(Path, self._globs[key]))

    def identity(self, path: Path) -> str:
        """The path without symbolic links."""
        return self._identities.setdefault(str(path), str(path.resolve()))

    def kept(self) -> Kept:
        """What was read so far."""
        return Kept(dict(self._contents), dict(self._globs), dict(self._identities))


def _result(found: Read, path: Path) -> bytes:
    if found.data is None:
        raise OSError(found.failure, os.strerror(found.failure), str(path))
    return found.data
