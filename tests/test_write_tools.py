"""Tools that write: where they may, where they are stopped, and that they may run twice."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from taskq.agent import writing
from taskq.agent.jail import Jail
from taskq.agent.manifest import Manifest, ManifestError
from taskq.agent.tools import TOOLS
from taskq.agent.workspace import READ_ONLY, Workspace, bound
from taskq.errors import Fail
from taskq.task import Task
from taskq.tool import Answer, Refused, ToolCall, ToolError

SECRET = "the secret of the outside"
OUTSIDE = ["secret.txt"]


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A checkout with a file, next to a secret."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text(SECRET)
    inside = tmp_path / "inside"
    (inside / "src").mkdir(parents=True)
    (inside / ".git").mkdir()
    (inside / ".git" / "config").write_text("[core]\n")
    (inside / "src" / "a.py").write_text("one = 1\ntwo = 2\n")
    return inside


async def call(directory: Path, name: str, *, key: str = "task:toolu_1", **given: Any) -> Answer:
    """What a tool answers in a workspace that may be written."""
    workspace = Workspace(directory, writable=True)
    answer = await TOOLS[name].run(ToolCall(task=Task(), key=key, workspace=workspace), given)
    assert isinstance(answer, Answer)
    return answer


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def unharmed(inside: Path) -> bool:
    outside = inside.parent / "outside"
    return names(outside) == OUTSIDE and (outside / "secret.txt").read_text() == SECRET


# What they do


async def test_write_file_makes_a_file_and_its_directories(inside: Path) -> None:
    answer = await call(inside, "write_file", path="docs/new/page.md", content="# Title\n")
    assert answer == Answer("docs/new/page.md: written, 8 bytes, 1 lines", artifact="docs/new/page.md")
    assert (inside / "docs/new/page.md").read_text() == "# Title\n"


async def test_write_file_replaces_all_of_a_file_and_keeps_its_permissions(inside: Path) -> None:
    (inside / "run").write_text("old")
    (inside / "run").chmod(0o6750)
    await call(inside, "write_file", path="run", content="new")
    assert (inside / "run").read_text() == "new"
    assert stat.S_IMODE((inside / "run").stat().st_mode) == 0o750


async def test_edit_file_replaces_one_place(inside: Path) -> None:
    answer = await call(inside, "edit_file", path="src/a.py", old="two = 2", new="two = 3")
    assert answer == Answer("src/a.py: edited at line 2", artifact="src/a.py")
    assert (inside / "src/a.py").read_text() == "one = 1\ntwo = 3\n"


async def test_edit_file_leaves_line_ends_as_they_are(inside: Path) -> None:
    (inside / "dos.txt").write_bytes(b"one\r\ntwo\r\n")
    await call(inside, "edit_file", path="dos.txt", old="two", new="three")
    assert (inside / "dos.txt").read_bytes() == b"one\r\nthree\r\n"


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("one two three", "two", "2"),
        ("one two three", "two", "two and a half"),
        ("one two three", " two", ""),
        ("call(x)", "x", "x, x"),
        ("if x:\n    y\n", "    y\n", "    y\n    z\n"),
    ],
)
async def test_an_edit_that_runs_again_changes_nothing(inside: Path, text: str, old: str, new: str) -> None:
    (inside / "f").write_text(text)
    await call(inside, "edit_file", path="f", old=old, new=new)
    once = (inside / "f").read_text()
    assert once == text.replace(old, new)
    again = await call(inside, "edit_file", path="f", old=old, new=new)
    assert (inside / "f").read_text() == once
    assert "reads so already" in again.text


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("three", "four", "is not there"),
        ("= ", "== ", "is there 2 times"),
        ("o", "", "is there 2 times"),
    ],
)
async def test_an_edit_without_one_clear_place_changes_nothing(
    inside: Path, old: str, new: str, why: str
) -> None:
    with pytest.raises(ToolError, match=why):
        await call(inside, "edit_file", path="src/a.py", old=old, new=new)
    assert (inside / "src/a.py").read_text() == "one = 1\ntwo = 2\n"


async def test_an_edit_that_could_not_be_told_from_its_second_run_is_refused(inside: Path) -> None:
    (inside / "f").write_text("xaab")
    with pytest.raises(ToolError, match="second run"):
        await call(inside, "edit_file", path="f", old="xa", new="x")
    assert (inside / "f").read_text() == "xaab"


async def test_a_text_that_is_everywhere_is_refused_in_no_time(inside: Path) -> None:
    (inside / "f").write_text("a" * writing.WRITE_BYTES)
    started = time.monotonic()
    with pytest.raises(ToolError, match="more than 500 times"):
        await call(inside, "edit_file", path="f", old="a" * writing.EDIT_CHARACTERS, new="b")
    assert time.monotonic() - started < 5


# Where they are stopped


ESCAPES = [
    "/etc/taskq-escape",
    "//etc/taskq-escape",
    "..",
    "../outside/secret.txt",
    "../outside/new.txt",
    "src/../../outside/secret.txt",
    "link_file",
    "link_dir/secret.txt",
    "link_dir/new.txt",
    "link_dir/made/new.txt",
    "link_dangling",
    "link_up/outside/new.txt",
    "link_inside/a.py",
    ".git/config",
    ".git/hooks/post-commit",
    "src/.git/config",
    ".GIT/config",
    ".git /config",
    ".git./config",
    "git~1/config",
    "./.git",
    "pipe",
    "a\0b",
]
NOT_THERE = ["", ".", "src", "src/", "src/a.py/x", "x" * 300, "bad\udcff"]


def with_links(inside: Path) -> Path:
    (inside / "link_file").symlink_to("../outside/secret.txt")
    (inside / "link_dir").symlink_to("../outside")
    (inside / "link_dangling").symlink_to("../outside/new.txt")
    (inside / "link_up").symlink_to("..")
    (inside / "link_inside").symlink_to("src")
    os.mkfifo(inside / "pipe")
    return inside


@pytest.mark.parametrize("path", ESCAPES, ids=ascii)
async def test_nothing_is_written_outside_and_the_call_is_blocked(inside: Path, path: str) -> None:
    with_links(inside)
    with pytest.raises(Refused):
        await call(inside, "write_file", path=path, content="escaped")
    with pytest.raises((Refused, ToolError)):
        await call(inside, "edit_file", path=path, old="secret", new="escaped")
    assert unharmed(inside)
    assert "taskq-escape" not in names(Path("/etc"))
    assert (inside / ".git" / "config").read_text() == "[core]\n"


@pytest.mark.parametrize("path", NOT_THERE, ids=ascii)
async def test_what_can_be_no_file_is_an_error(inside: Path, path: str) -> None:
    with pytest.raises(ToolError):
        await call(inside, "write_file", path=path, content="x")
    assert names(inside) == [".git", "src"]


async def test_a_hard_link_to_the_outside_is_replaced_and_not_written_through(inside: Path) -> None:
    (inside / "hard").hardlink_to(inside.parent / "outside" / "secret.txt")
    await call(inside, "write_file", path="hard", content="mine")
    assert (inside / "hard").read_text() == "mine"
    assert unharmed(inside)


@pytest.mark.parametrize(
    "given",
    [
        {"path": "f", "content": "x" * (writing.WRITE_BYTES + 1)},
        {"path": "f", "content": "é" * writing.WRITE_BYTES},
        {"path": "f", "content": "half \ud800"},
    ],
    ids=["characters", "bytes", "surrogate"],
)
async def test_too_much_or_no_text_is_an_error_and_leaves_nothing(inside: Path, given: Any) -> None:
    with pytest.raises(ToolError):
        await call(inside, "write_file", **given)
    assert names(inside) == [".git", "src"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (writing.WRITE_BYTES + 1)], ids=["latin", "long"])
async def test_what_is_no_text_or_too_long_is_not_edited(inside: Path, content: bytes) -> None:
    (inside / "f").write_bytes(content)
    with pytest.raises(ToolError, match="cannot be edited"):
        await call(inside, "edit_file", path="f", old="x", new="y")
    assert (inside / "f").read_bytes() == content


# Races

# Linux exchanges two names in one step, so that no look at them finds neither.
SWAP = """
import ctypes, os, sys
os.chdir(sys.argv[1])
exchange = getattr(ctypes.CDLL(None), "renameat2", None)
while True:
    if exchange is not None:
        exchange(-100, b"sub", -100, b"link", 2)
    else:
        os.rename("sub", "real"); os.rename("link", "sub")
        os.rename("sub", "link"); os.rename("real", "sub")
"""


def test_a_directory_that_is_swapped_for_a_link_never_leads_a_write_out(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process swaps `sub` between a directory and a link to the outside, as fast as it can."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    (inside / "sub").mkdir()
    (inside / "link").symlink_to("../outside")
    jail, written, refused = Jail(inside), 0, 0
    deadline = time.monotonic() + 20
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", SWAP, str(inside)]) as swapper:
        try:
            while (written < 300 or refused < 300) and time.monotonic() < deadline:
                try:
                    writing.write_file(jail, "sub/secret.txt", "overwritten", key="k")
                except (Refused, ToolError):
                    refused += 1
                else:
                    written += 1
        finally:
            swapper.kill()
    assert unharmed(inside)
    assert written
    assert refused


def test_a_file_that_is_swapped_for_a_link_is_never_written_through(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread puts a link to the secret in the file's place, thousands of times."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    jail, stop, swaps = Jail(inside), threading.Event(), 0

    def swap() -> None:
        nonlocal swaps
        while not stop.is_set():
            (inside / "evil").symlink_to("../outside/secret.txt")
            (inside / "evil").rename(inside / "f")
            (inside / "good").write_text("overwritten")
            (inside / "good").rename(inside / "f")
            swaps += 1

    thread = threading.Thread(target=swap)
    thread.start()
    written, deadline = 0, time.monotonic() + 20
    try:
        while (swaps < 2000 or written < 20) and time.monotonic() < deadline:
            try:
                writing.write_file(jail, "f", "overwritten", key="k")
                written += 1
                writing.edit_file(jail, "f", "overwritten", "edited", key="k")
            except (Refused, ToolError):
                pass
    finally:
        stop.set()
        thread.join()
    assert unharmed(inside)
    assert swaps > 1000
    assert written


def test_the_way_to_the_jail_cannot_be_replaced_by_a_link(inside: Path) -> None:
    (inside.parent / "outside" / "src").mkdir()
    jail = Jail(inside / "src")
    inside.rename(inside.parent / "moved")
    inside.symlink_to("outside")
    with pytest.raises(OSError, match=r"src|inside"):
        writing.write_file(jail, "new.txt", "escaped", key="k")
    assert not (inside.parent / "outside" / "src" / "new.txt").exists()


def test_a_reader_finds_the_old_text_or_the_new_one(inside: Path) -> None:
    texts = {"a" * 300_000, "b" * 300_000}
    jail, stop, torn = Jail(inside), threading.Event(), []
    writing.write_file(jail, "f", "a" * 300_000, key="k")

    def read() -> None:
        while not stop.is_set():
            if (text := (inside / "f").read_text()) not in texts:
                torn.append(len(text))

    thread = threading.Thread(target=read)
    thread.start()
    for n in range(100):
        writing.write_file(jail, "f", "ab"[n % 2] * 300_000, key="k")
    stop.set()
    thread.join()
    assert not torn
    assert names(inside) == [".git", "f", "src"]


def test_what_a_crash_left_is_cleared_away_when_the_call_runs_again(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", die)
        patch.setattr(os, "unlink", lambda *_, **__: None)  # the dead clear nothing away
        with pytest.raises(Killed):
            writing.write_file(Jail(inside), "f", "half", key="k")
    assert len(names(inside)) == 3
    writing.write_file(Jail(inside), "f", "whole", key="k")
    assert names(inside) == [".git", "f", "src"]
    assert (inside / "f").read_text() == "whole"


# Whose files


def workspace(payload: dict[str, Any], tmp_path: Path, *repositories: str) -> Workspace:
    return Workspace.of(uuid4(), payload, repositories=repositories, home=tmp_path / "home")


def test_a_bound_repository_may_be_written(inside: Path) -> None:
    here = workspace({"repository": str(inside)}, inside.parent, str(inside.parent / "in*"))
    assert here.writable
    assert here.directory == inside


@pytest.mark.parametrize("repositories", [[], ["/srv/*"], ["inside"], ["{parent}"], ["{parent}/*/src"]])
def test_a_repository_that_the_role_is_not_bound_to_fails_the_task(
    inside: Path, repositories: list[str]
) -> None:
    globs = [glob.format(parent=inside.parent) for glob in repositories]
    with pytest.raises(Fail, match="not bound to the repository") as caught:
        workspace({"repository": str(inside)}, inside.parent, *globs)
    assert caught.value.kind == "validation_error"
    assert str(inside) in str(caught.value)


def test_a_link_does_not_bind_what_it_leads_to(inside: Path) -> None:
    (inside.parent / "alias").symlink_to("inside")
    with pytest.raises(Fail, match="not bound"):
        workspace({"repository": str(inside.parent / "alias")}, inside.parent, str(inside.parent / "alias"))


def test_dots_do_not_bind_what_they_lead_to(inside: Path) -> None:
    with pytest.raises(Fail, match="not bound"):
        workspace(
            {"repository": f"{inside}/src/.."}, inside.parent, f"{inside}/src/..", f"{inside.parent}/*/*"
        )


def test_what_is_no_checkout_is_no_repository(inside: Path) -> None:
    with pytest.raises(Fail, match="no checkout"):
        workspace({"repository": str(inside / "src")}, inside.parent, f"{inside}/*")


@pytest.mark.parametrize("value", ["", 3, ["/srv"], "/no/such/place", "/etc/passwd", "a\0b"])
@pytest.mark.parametrize("field", ["repository", "directory"])
def test_what_is_no_path_fails_the_task(tmp_path: Path, field: str, value: Any) -> None:
    with pytest.raises(Fail) as caught:
        workspace({field: value}, tmp_path, "/*", "/*/*", "/*/*/*")
    assert caught.value.kind == "validation_error"


async def test_a_directory_may_be_read_and_not_written(inside: Path) -> None:
    here = workspace({"directory": str(inside)}, inside.parent, str(inside))
    context = ToolCall(task=Task(), key="k", workspace=here)
    assert "a.py" in str(await TOOLS["list_dir"].run(context, {"path": "src"}))
    with pytest.raises(Refused, match="declares no repository"):
        await TOOLS["write_file"].run(context, {"path": "f", "content": "x"})
    with pytest.raises(Refused) as refusal:
        await TOOLS["edit_file"].run(context, {"path": "src/a.py", "old": "1", "new": "2"})
    assert str(refusal.value) == READ_ONLY
    assert names(inside) == [".git", "src"]


async def test_a_task_without_either_works_in_a_directory_of_its_own(tmp_path: Path) -> None:
    id = uuid4()
    here = Workspace.of(id, {}, repositories=(), home=tmp_path / "home")
    assert not (tmp_path / "home").exists()
    await TOOLS["write_file"].run(
        ToolCall(task=Task(), key="k", workspace=here), {"path": "notes.md", "content": "x"}
    )
    own = tmp_path / "home" / "work" / str(id)
    assert (own / "notes.md").read_text() == "x"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700


def test_a_link_in_the_place_of_the_own_directory_fails_the_task(inside: Path) -> None:
    id = uuid4()
    (inside.parent / "home" / "work").mkdir(parents=True)
    (inside.parent / "home" / "work" / str(id)).symlink_to(inside)
    with pytest.raises(Fail, match="symbolic link"):
        _ = Workspace.of(id, {}, repositories=(), home=inside.parent / "home").jail


async def test_a_role_without_files_has_no_file_tools(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no files"):
        await TOOLS["list_dir"].run(ToolCall(task=Task(), key="k", workspace=None), {})


def test_a_star_is_one_part_of_a_path() -> None:
    assert bound(Path("/srv/co/shop"), ["/srv/*/shop"])
    assert bound(Path("/srv/co/shop"), ["/srv/co/sh*"])
    assert not bound(Path("/srv/co/shop"), ["/srv/*"])
    assert not bound(Path("/srv/co/shop/inner"), ["/srv/co/*"])


@pytest.mark.parametrize("value", ["/srv", "[srv/*]", "[/srv/../etc]", "[/srv/**]", "[3]"])
def test_a_manifest_binds_to_absolute_globs_only(value: str) -> None:
    with pytest.raises(ManifestError, match="repositories: "):
        Manifest.parse(f"---\nmodel: m\nrepositories: {value}\n---\nWork.\n", Path("coder.md"))


def test_a_manifest_names_its_repositories() -> None:
    manifest = Manifest.parse("---\nmodel: m\nrepositories: [/srv/co/*]\n---\nWork.\n", Path("coder.md"))
    assert manifest.repositories == ("/srv/co/*",)
