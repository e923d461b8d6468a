"""A process that has imported everything, and forks a child for every attempt.

`python -m bench.chaos.nursery` hears an order (JSON) a line, and says how its child ended, a line each: the
exit code, or minus the signal.
No thread and no event loop is there before the fork.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import traceback
from typing import NoReturn

import anthropic

from bench.chaos.attempt import Order, play

PATIENCE = 60  # seconds for an attempt


def main() -> None:
    """Until standard input ends."""
    _ = anthropic.AsyncAnthropic(api_key="k").messages  # imports another second's worth of modules
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(Order(**json.loads(line)))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(order: Order) -> NoReturn:
    """Play, and end."""
    signal.alarm(PATIENCE)
    try:
        asyncio.run(play(order))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
