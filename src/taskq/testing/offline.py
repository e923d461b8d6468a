"""The script that plays any agent without a model: it uses the tools that are offered, on what is really
there, and hands in facts from what they returned.

    list_dir -> read_file of two files -> grep a word of theirs -> read_file where else it is
    -> delegate the check of a fact -> submit_result, by whatever schema it has

It keeps no state: the next step follows from the conversation alone, so a resumed run goes on like any other.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter

from taskq.testing.blocks import text, tool_use
from taskq.testing.filling import Found, Place, fact, filled
from taskq.testing.reply import Reply
from taskq.testing.request import Request

FILES_READ = 2
DIRECTORIES_LISTED = 3
FACTS = 8

_SOURCE = re.compile(
    r"^([\w.\-]+\.(?:sql|py|md|toml|txt|js|ts|css|html|json|ya?ml|ini|cfg|sh))\b", re.MULTILINE
)
_DIRECTORY = re.compile(r"^([A-Za-z0-9_][\w.\-]*)/$", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z][A-Za-z_]{5,30}")
_MATCH = re.compile(r"^([\w./\-]+):(\d+): (.*)$", re.MULTILINE)
_ROLES = re.compile(r"roles that there are: (.*)\.$")
_LACKING = re.compile(r'^<data-\w+ check="file ([^"*?\[]+)"', re.MULTILINE)
CHECK = "Check: "
"""How the objective begins that is delegated; who has such a one does not delegate again."""


def offline_script(request: Request) -> Reply:
    """The next step of the agent whose conversation this is."""
    steps = (_look_around, _read, _grep, _read_on, _delegate, _write)
    return next((reply for step in steps if (reply := step(request))), None) or _finish(request)


def _look_around(request: Request) -> Reply | None:
    """List directories until there is a file to read."""
    if "list_dir" not in request.tools or _files(request):
        return None
    listed = _arguments(request, "list_dir", "path")
    if len(listed) >= DIRECTORIES_LISTED:
        return None
    unseen = [path for path in [".", *_directories(request)] if path not in listed]
    if not unseen:
        return None
    path = "." if not listed else _choose(request, unseen, 1)[0]
    return Reply([text(f"I look at what there is in {path}."), tool_use("list_dir", {"path": path})])


def _read(request: Request) -> Reply | None:
    """Read some of the files seen: which ones depends on the role, so that two roles differ."""
    if "read_file" not in request.tools or _arguments(request, "read_file", "path"):
        return None
    chosen = _choose(request, _files(request), FILES_READ)
    if not chosen:
        return None
    calls = [tool_use("read_file", {"path": path, "limit": 200}) for path in chosen]
    return Reply([text(f"I read {' and '.join(chosen)}."), *calls])


def _grep(request: Request) -> Reply | None:
    """Look for a word of the files read."""
    if "grep" not in request.tools or _arguments(request, "grep", "pattern"):
        return None
    words = Counter(word for answer in _answers(request, "read_file") for word in _WORD.findall(answer))
    if not words:
        return None
    most = min(3, max(words.values()))
    word = _choose(request, [word for word, count in words.items() if count >= most], 1)[0]
    return Reply([text(f"I see where else {word} is used."), tool_use("grep", {"pattern": word})])


def _read_on(request: Request) -> Reply | None:
    """Read a file in which the word was found, at that place."""
    seen = _arguments(request, "read_file", "path")
    found = [match for answer in _answers(request, "grep") for match in _MATCH.findall(answer)]
    unread = sorted({path for path, _, _ in found} - set(seen))
    if "read_file" not in request.tools or len(seen) > FILES_READ or not unread:
        return None
    path = _choose(request, unread, 1)[0]
    line = next(int(line) for at, line, _ in found if at == path)
    step = {"path": path, "offset": max(1, line - 10), "limit": 40}
    return Reply([text(f"It is in {path} too; I read on there."), tool_use("read_file", step)])


def _delegate(request: Request) -> Reply | None:
    """Have another role check a fact, once; which one the tool itself names."""
    facts = _own_facts(request)
    if "delegate" not in request.tools or _arguments(request, "delegate", "role") or not facts:
        return None
    named = _ROLES.search(request.tools["delegate"].get("description", ""))
    roles = [name for name in named[1].split(", ") if not set(name) & set("*?[")] if named else []
    if not roles or _objective(request).startswith(CHECK):
        return None
    order = {"role": _choose(request, roles, 1)[0], "objective": CHECK + facts[-1], "name": "check"}
    return Reply([text(f"I have {order['role']} check that."), tool_use("delegate", order)])


def _write(request: Request) -> Reply | None:
    """Write the files that a check of what was handed in found missing."""
    reports = [answer for name, _, answer, failed in request.calls if name == "submit_result" and failed]
    lacking = [path for report in reports for path in _LACKING.findall(report)]
    missing = [path for path in lacking if path not in _arguments(request, "write_file", "path")]
    if "write_file" not in request.tools or not missing:
        return None
    content = "\n".join([_summary(request), *_facts(request), ""])
    calls = [tool_use("write_file", {"path": path, "content": content}) for path in missing]
    return Reply([text(f"I write {' and '.join(missing)}."), *calls])


def _finish(request: Request) -> Reply:
    """Hand in the facts, through submit_result where it is offered."""
    summary = _summary(request)
    if "submit_result" not in request.tools:
        return Reply([text(summary)])
    places = [match for answer in _answers(request, "grep") for match in _MATCH.findall(answer)]
    found = Found(
        summary=summary,
        facts=_facts(request),
        files=_arguments(request, "read_file", "path"),
        places=[Place(path, int(line), words.strip()) for path, line, words in places],
    )
    result = filled(request.tools["submit_result"]["input_schema"], found)
    return Reply([text("I hand in what I found."), tool_use("submit_result", result)])


def _summary(request: Request) -> str:
    return f"Simulated answer to: {_objective(request)} {' '.join(_facts(request))}"


def _facts(request: Request) -> list[str]:
    """What there is to tell, a sentence each."""
    facts = _own_facts(request)
    parents = len(re.findall(r"^<data-\w+ ", _first_text(request), re.MULTILINE))
    if parents:
        facts.append(f"{parents} results of earlier tasks were taken into account.")
    return facts[:FACTS]


def _own_facts(request: Request) -> list[str]:
    """One sentence for each tool call that returned something."""
    calls = [call for call in request.calls if call[0] != "submit_result"]
    return [fact(name, given, answer.split("\n", 1)[0], failed) for name, given, answer, failed in calls]


def _files(request: Request) -> list[str]:
    return _seen(request, _SOURCE)


def _directories(request: Request) -> list[str]:
    return _seen(request, _DIRECTORY)


def _seen(request: Request, pattern: re.Pattern[str]) -> list[str]:
    """What the listings so far named, with the path of the listing before it."""
    paths = []
    for name, given, answer, failed in request.calls:
        if name == "list_dir" and not failed:
            below = "" if given.get("path", ".") == "." else f"{given['path'].rstrip('/')}/"
            paths += [below + found for found in pattern.findall(answer.split("\n", 1)[-1])]
    return paths


def _arguments(request: Request, tool: str, argument: str) -> list[str]:
    return [given.get(argument, "") for name, given, _, _ in request.calls if name == tool]


def _answers(request: Request, tool: str) -> list[str]:
    """What a tool returned, below the line that says what it is."""
    answers = [answer for name, _, answer, failed in request.calls if name == tool and not failed]
    return [answer.partition("\n")[2] for answer in answers]


def _choose(request: Request, candidates: list[str], count: int) -> list[str]:
    """Some of the candidates: always the same for a role, others for another role."""
    return sorted(candidates, key=lambda c: hashlib.sha256(f"{request.system}\0{c}".encode()).digest())[
        :count
    ]


def _objective(request: Request) -> str:
    found = re.search(r"^Objective: (.*)$", _first_text(request), re.MULTILINE)
    return (found[1] if found else _first_text(request))[:200]


def _first_text(request: Request) -> str:
    return "\n".join(block.get("text", "") for block in request.messages[0]["content"])
