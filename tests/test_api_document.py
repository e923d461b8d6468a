"""The OpenAPI document and the server are one: schemathesis sends what it allows and what it forbids."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from mission_control import serving
from taskq.web.api import OPERATIONS
from taskq.web.openapi import document
from taskq.web.operations import PREFIX
from web_client import make_token

TESTS = Path(__file__).parent
LIMIT = 240
NO_END = "/api/v1/events"
"""It streams for ever."""


async def test_schemathesis_finds_nothing_that_the_document_does_not_say(dsn: str, tmp_path: Path) -> None:
    # One worker, not several: on CPython 3.11 two threads that parse source at once may fail ("AST
    # constructor recursion depth mismatch"), and the generators parse the source of their lambdas.
    token = await make_token(dsn, "schemathesis", "read", "dispatch", "operate", "admin")
    async with serving(dsn) as control:
        run = await asyncio.create_subprocess_exec(
            Path(sys.executable).parent / "schemathesis",
            "run", f"{control.url}/api/v1/openapi.json",
            "--header", f"Authorization: Bearer {token}",
            "--checks", "all", "--exclude-checks", "positive_data_acceptance",
            "--phases", "examples,coverage,fuzzing", "--max-examples", "2", "--seed", "4",
            "--no-shrink", "--generation-allow-x00", "false", "--generation-database", "none",
            "--exclude-path", NO_END, "--warnings", "off",
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "document_checks", "PYTHONPATH": path()},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(run.communicate(), LIMIT)
    text = said.decode()
    assert run.returncode == 0, text
    tested = re.search(r"Tested: (\d+)", text)
    assert tested and int(tested[1]) == len([o for o in OPERATIONS if not NO_END.endswith(o.path)]), text


def test_every_operation_is_in_the_reference_and_no_other() -> None:
    text = (TESTS.parent / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| ([A-Z]+) \| `(/\S*)` \| (\w*) \| (.*) \|$", text, re.MULTILINE)
    declared = [
        (method.upper(), path.removeprefix(PREFIX), described["x-scope"] or "", described["summary"])
        for path, methods in document(OPERATIONS)["paths"].items()
        for method, described in methods.items()
    ]
    missing = [
        f"| {m} | `{p}` | {s} | {words} |" for m, p, s, words in declared if (m, p, s, words) not in shown
    ]
    assert not missing, "\n".join(missing)
    assert sorted(shown) == sorted(declared)


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(names) == len(set(names))
    for operation in OPERATIONS:
        assert operation.description.endswith("."), operation.name


def path() -> str:
    return os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
