"""How long to wait before trying the database again."""

from __future__ import annotations

import random

LONGEST = 5.0


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row: twice as long each time, with jitter, 5 s at most."""
    return min(LONGEST, 0.05 * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)
