"""The open connections of a listener, and how many there are in all workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.state.tallies import Tally
    from gateway.wire.client_settings import Connection


class Connections(set["Connection"]):
    """Those of one listener. Mutable state: besides, the tally of all workers that listen on its address."""

    def __init__(self, tally: Tally | None = None) -> None:
        super().__init__()
        self._tally = tally

    def add(self, connection: Connection) -> None:
        """One is open."""
        super().add(connection)
        if self._tally is not None:
            self._tally.put(len(self))

    def discard(self, connection: object) -> None:
        """One is gone."""
        super().discard(connection)
        if self._tally is not None:
            self._tally.put(len(self))

    def exceed(self, most: int) -> bool:
        """Are there more, in all workers?"""
        return (len(self) if self._tally is None else self._tally.total()) > most
