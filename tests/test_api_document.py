"""The OpenAPI document and the server are one: schemathesis sends what it allows and what it forbids."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from mission_control import serving
from taskq.web.api import OPERATIONS
from web_client import make_token

TESTS = Path(__file__).parent
LIMIT = 240
NO_END = "/api/v1/events"
"""It streams for ever."""


async def test_schemathesis_finds_nothing_that_the_document_does_not_say(dsn: str, tmp_path: Path) -> None:
    token = await make_token(dsn, "schemathesis", "read", "dispatch", "operate", "admin")
    async with serving(dsn) as control:
        run = await asyncio.create_subprocess_exec(
            Path(sys.executable).parent / "schemathesis",
            "run", f"{control.url}/api/v1/openapi.json",
            "--header", f"Authorization: Bearer {token}",
            "--checks", "all", "--exclude-checks", "positive_data_acceptance",
            "--phases", "examples,coverage,fuzzing", "--max-examples", "3", "--seed", "4",
            "--no-shrink", "--generation-allow-x00", "false", "--generation-database", "none",
            "--exclude-path", NO_END, "--warnings", "off", "--workers", "2",
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "document_checks", "PYTHONPATH": path()},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(run.communicate(), LIMIT)
    text = said.decode()
    assert run.returncode == 0, text
    tested = re.search(r"Tested: (\d+)", text)
    assert tested and int(tested[1]) == len([o for o in OPERATIONS if not NO_END.endswith(o.path)]), text


def path() -> str:
    return os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
