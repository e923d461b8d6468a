"""Each user's eye on the supervisor: when it dies, the first user to notice starts a new one."""

from __future__ import annotations

import logging
import os
import selectors
import threading
from collections.abc import Callable
from typing import IO

from taskq.embedded.home import Home
from taskq.errors import NoDatabase

SHORTEST_PAUSE = 0.1
LONGEST_PAUSE = 30.0

logger = logging.getLogger(__name__)


class Watch:
    """A thread that calls `revive` whenever the supervisor of `home` has ended, until `stop`."""

    def __init__(self, home: Home, users: IO[str], revive: Callable[[], None]) -> None:
        # The lock lives as long as the thread: a forgotten Server must not revive what nobody uses.
        self._home, self._users, self._revive = home, users, revive
        self._stopped = threading.Event()
        self._waking, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, name="taskq-embedded-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more.  Does not wait; a second call does nothing."""
        if not self._stopped.is_set():
            self._stopped.set()
            os.close(self._wake)

    def _run(self) -> None:
        pause = SHORTEST_PAUSE
        try:
            while not self._supervised_until_stop():
                try:
                    self._revive()
                    pause = SHORTEST_PAUSE
                except (NoDatabase, OSError) as error:
                    if self._stopped.is_set():
                        return
                    if not self._home.plan_file.exists():
                        logger.error("the embedded server's directory %s is gone", self._home.path)
                        return
                    logger.warning("%s; trying again in %g s", error, pause)
                    self._stopped.wait(pause)
                    pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            os.close(self._waking)

    def _supervised_until_stop(self) -> bool:
        """Wait for the end of the supervisor (False) or for `stop` (True)."""
        try:
            fifo = self._home.open_fifo()
        except OSError:
            return self._stopped.is_set()
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(fifo, selectors.EVENT_READ)
                selector.register(self._waking, selectors.EVENT_READ)
                selector.select()
            return self._stopped.is_set()
        finally:
            os.close(fifo)
