"""The hub: one look at the database for all who listen."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from taskq.web.reads import Reads


class Hub:
    """Tells listeners what happens; polls only while there are any."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def nudge(self) -> None:
        """Look at once: this process changed something."""
