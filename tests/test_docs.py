"""What the documents show is run: every block of sh, sql and python, in order, one bash script a document.

Words after the language of a fence say how:

    sh background       a second terminal: it runs until the end of the document
    python file=app.py  it is written to that file instead of being run (any language)
    sql fails           it must be refused
    sh no-run: reason   it is not run, for a reason that is said
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

import taskq.errors
from taskq.settings import Settings

TOP = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
RUN = ("sh", "sql", "python")
TESTED_ELSEWHERE = {
    "docs/agents.md": "its programs need a fake with a script of their own: test_agent_*.py",
    "docs/reference/cli.md": "a list of options, no session: test_cli*.py",
}
LIMIT = 90

SQL_RUNNER = """
import asyncio, os, sys, asyncpg
async def main():
    session = await asyncpg.connect(os.environ["TASKQ_DATABASE_URL"])
    session.add_log_listener(lambda _, message: print(message))
    print(await session.execute(sys.stdin.read()))
    await session.close()
asyncio.run(main())
"""

# -m: what runs in the background is a process group of its own, and ends with all that it started
BEGIN = """
set -meuo pipefail
end() {
    code=$?
    for job in $(jobs -p); do kill -- -$job 2>/dev/null || true; done
    wait || true
    exit $code
}
trap end EXIT
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    line: int
    language: str
    words: str
    text: str

    @property
    def is_run(self) -> bool:
        return self.language in RUN and not self.words.startswith("no-run")

    def command(self) -> str:
        """What does it in bash."""
        if file := re.search(r"file=(\S+)", self.words):
            return f"mkdir -p $(dirname {file[1]}); cat > {file[1]} {self.here()}"
        text = {
            "sh": self.text,
            "sql": f"python run_sql.py {self.here()}",
            "python": f"python - {self.here()}",
        }[self.language]
        if "background" in self.words:
            return f"(\n{text}\n) >> background.log 2>&1 &\n"
        if "fails" in self.words:
            return f"if (\n{text}\n); then echo 'this should have failed'; exit 1; fi\n"
        return text

    def here(self) -> str:
        return f"<<'END_OF_BLOCK'\n{self.text}END_OF_BLOCK\n"


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        yield Block(text[: found.start()].count("\n") + 1, found[1], found[2].strip(), found[3])


def name(document: Path) -> str:
    return document.relative_to(TOP).as_posix()


def script(document: Path) -> str:
    """The document as a bash script."""
    parts = [BEGIN]
    for block in blocks(document):
        if block.is_run or "file=" in block.words:
            parts += [f"echo {shlex.quote(f'--- {name(document)}:{block.line}')}", block.command()]
    return "\n".join(parts)


@pytest.mark.parametrize(
    "document",
    [d for d in DOCUMENTS if name(d) not in TESTED_ELSEWHERE and any(b.is_run for b in blocks(d))],
    ids=name,
)
async def test_every_block_of_a_document_does_what_it_shows(document: Path, dsn: str, tmp_path: Path) -> None:
    (tmp_path / "run_sql.py").write_text(SQL_RUNNER)
    (tmp_path / "document.sh").write_text(script(document))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    bash = await asyncio.create_subprocess_exec(
        "bash", "document.sh",
        cwd=tmp_path, env={**os.environ, "TASKQ_DATABASE_URL": dsn, "PATH": path, "ANTHROPIC_API_KEY": ""},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(bash.communicate(), LIMIT)
    except TimeoutError:
        bash.kill()
        raise
    background = tmp_path / "background.log"
    log = background.read_text() if background.exists() else ""
    assert bash.returncode == 0, f"{said.decode()}\n--- in the background:\n{log}"


def test_what_is_not_run_says_why() -> None:
    for document in DOCUMENTS:
        for block in blocks(document):
            if block.language in RUN and block.words.startswith("no-run"):
                assert re.fullmatch(r"no-run: \S.*", block.words), f"{name(document)}:{block.line}"
            elif block.language in RUN and block.words:
                assert re.fullmatch(r"background|fails|file=\S+", block.words), (
                    f"{name(document)}:{block.line}"
                )


def anchors(document: Path) -> set[str]:
    """The fragments that GitHub makes of the headings."""
    headings = HEADING.findall(FENCE.sub("", document.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_between_documents_resolve(document: Path) -> None:
    for link in LINK.findall(FENCE.sub("", document.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if fragment:
            assert fragment in anchors(target), link


def test_every_document_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    todo = [TOP / "README.md"]
    while todo:
        document = todo.pop()
        if document in seen or document.suffix != ".md":
            continue
        seen.add(document)
        links = LINK.findall(document.read_text(encoding="utf-8"))
        todo += [
            (document.parent / link.partition("#")[0]).resolve()
            for link in links
            if "://" not in link and not link.startswith("#")
        ]
    assert set(DOCUMENTS) <= seen


def test_every_setting_is_in_the_table_of_settings() -> None:
    text = (TOP / "docs/reference/settings.md").read_text(encoding="utf-8")
    read = (TOP / "src/taskq/settings.py").read_text(encoding="utf-8")
    for variable in set(re.findall(r'"((?:TASKQ|ANTHROPIC)_[A-Z_]+[A-Z])"', read)) | {"DATABASE_URL"}:
        assert f"`{variable}`" in text
    for field, default in (("LEASE", "60 s"), ("HEARTBEAT", "15 s"), ("GRACE", "30 s"), ("SWEEP", "30 s")):
        assert re.search(rf"`TASKQ_{field}` \|.*\| {default} \|", text)
        assert getattr(Settings(), field.lower()).total_seconds() == float(default.removesuffix(" s"))


def test_every_error_is_in_the_reference() -> None:
    text = (TOP / "docs/reference/errors.md").read_text(encoding="utf-8")
    for error in vars(taskq.errors).values():
        if isinstance(error, type) and issubclass(error, Exception):
            assert f"`{error.__name__}`" in text
            assert getattr(error, "sqlstate", None) is None or f"`{error.sqlstate}`" in text
    for kind in taskq.task.ERROR_KINDS:
        assert f"`{kind}`" in text


async def test_every_arrow_is_in_the_reference_and_no_other(db: asyncpg.Connection) -> None:
    text = (TOP / "docs/reference/statuses.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^\| (\w+) \| `(\w+)` \| `(\w+)` \|", text, re.MULTILINE))
    arrows = await db.fetch('select verb, "from"::text, "to"::text from taskq.arrows')
    assert shown == {tuple(arrow) for arrow in arrows}


async def test_the_sql_reference_says_what_the_comments_say(db: asyncpg.Connection) -> None:
    text = (TOP / "docs/reference/sql.md").read_text(encoding="utf-8")
    commented = await db.fetch(
        """
        select a.attname as name, d.description
        from pg_attribute a join pg_description d on d.objoid = a.attrelid and d.objsubid = a.attnum
          join pg_class c on c.oid = a.attrelid
        where c.relnamespace = 'taskq'::regnamespace
          and (c.relkind = 'v' or c.relname in ('tasks', 'attempts', 'events', 'messages', 'logs'))
        union all
        select p.proname, obj_description(p.oid) from pg_proc p
        where p.pronamespace = 'taskq'::regnamespace and p.prorettype <> 'trigger'::regtype
          and (has_function_privilege('taskq_operator', p.oid, 'execute')
               or obj_description(p.oid) like 'For workers:%')
        """
    )
    rows = {(row["name"], row["description"]) for row in commented}
    shown = set(re.findall(r"^\| `(\w+)\b[^|]*\|(?:.*\|)? (.*) \|$", text, re.MULTILINE))
    missing = sorted(rows - shown)
    assert not missing, "\n".join(f"| `{name}` | {comment} |" for name, comment in missing)
