"""The `grep` tool: the worker's side of `search.py`.  Blocking; called in a thread."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from taskq.agent.jail import Jail
from taskq.tool import ToolError

MATCHES = 200
"""Most matching lines that one `grep` shows."""
SECONDS = 15
"""How long one `grep` may take."""
_PROGRAM = Path(__file__).with_name("search.py")


def grep(jail: Jail, pattern: str, path: str, glob: str, ignore_case: bool) -> str:
    """Lines below `path` that match a Python regular expression, as `file:line: text`.

    :raises Refused: the path leads out of the jail.
    :raises ToolError: there is no such path, the pattern is not understood or takes too long.
    """
    with jail.open_any(path) as (fd, is_file):
        request = {
            "fd": fd,
            "is_directory": not is_file,
            "path": path,
            "pattern": pattern,
            "glob": glob,
            "ignore_case": ignore_case,
            "limit": MATCHES,
        }
        answer = _search(fd, request)
    if "error" in answer:
        raise ToolError(answer["error"])
    return _words(answer, pattern, path, is_file)


def _search(fd: int, request: dict[str, Any]) -> dict[str, Any]:
    """Run the program on the descriptor; it is killed when it is late."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(_PROGRAM)],
            input=json.dumps(request).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[fd],
            env={},
            timeout=SECONDS,
            check=True,
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        raise ToolError("the search took too much time or memory; narrow the path or the pattern") from None
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _words(answer: dict[str, Any], pattern: str, path: str, is_file: bool) -> str:
    """The answer as text for the model."""
    # Matches below a directory are relative to it, the model's paths to the jail.
    prefix = "" if is_file or path in (".", "") else path.rstrip("/") + "/"
    lines = [prefix + match for match in answer["matches"]]
    if answer["count"] > len(lines):
        lines.append(f"[cut: {answer['count'] - len(lines)} of {answer['count']} lines are not shown]")
    if not answer["complete"]:
        lines.append(f"[cut: only the first {answer['files']} files were searched; narrow the path]")
    head = f"{answer['count']} matching lines for {pattern!r} in {answer['files']} files"
    return "\n".join([head, *lines])
