"""Requests that nobody sends who means well: random, seeded, and sent to the application itself.

They are made as a server hands them on: percent-encoded bytes in the path, any bytes in query, headers, body.
"""

from __future__ import annotations

import json
import random
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlencode
from uuid import UUID

from starlette.types import ASGIApp, Message

SCRIPT = "<script>alert(1)</script>"
TEXTS = [
    "", " ", "\t\r\n", "null", "0", "-1", "true", "[]", "{}", "%", "%s%n%x", "%L %I %s", "{0}{x}",
    "{{7*7}}",
    "';drop table taskq.tasks;--", "' or '1'='1", "1); select pg_sleep(9);--", "\\'; --", "$1", "$$",
    "{a,b}",
    SCRIPT, '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "</title><svg/onload=alert(1)>",
    "<!--",
    "../../../../etc/passwd", "..\\..\\windows", "%2e%2e%2f", "/", "//", ".", "..",
    "/etc/passwd\0.png", '{"a":1}',
    "\0", "a\0b", "\x7f", "\x1b[31m", "\ufeff", "\u202e", "\ufffe", "é", "𝔘𝔫𝔦", "🏳️‍🌈", "İ", "ß" * 200,
    "a" * 201,
    "a" * 70_000, "file:///etc/passwd", "2026-01-01", "0000-00-00T00:00:00Z", "2026-02-30T25:61:61Z",
    "infinity",
    "9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+23:59", "-infinity", "NaN", "1e400",
    "1e-400", "0x10",
    "1_000", "１２", "99999999999999999999", "-9223372036854775809", "not-a-uuid", "${7*7}", "]]>",
    "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "{00000000000000000000000000000000}", "W10", "WyJhIl0", "WzFd",
    "WyIwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDAiXQ",
]  # fmt: skip
NUMBERS = [
    0, -1, 1, 500, 501, 2**15, 2**31, 2**31 - 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**40, 1.5, 1e308,
    -1e308,
    5e-324, -0.0,
]  # fmt: skip
RAW = [
    b"1e400", b"-1e400", b"NaN", b"Infinity", b"-", b"01", b'"\\ud800"', b'"\\udc00\\ud800"',
    b'"\\u0000"',
    b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b"'a'", b"undefined",
    b"[1,]", b"{",
    b"[" * 9_000 + b"]" * 9_000, b'{"a":' * 9_000 + b"1" + b"}" * 9_000, b'"', b"1" * 10_000, b"\x00",
]  # fmt: skip
TYPES = [
    "application/json", "application/json; charset=utf-8", "Application/JSON",
    "application/json;charset=utf-7",
    "text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data", "a" * 5000, "*/*",
    "\xff",
    "multipart/form-data; boundary=x", "application/xml", "application/problem+json",
    "application/json\x01",
]  # fmt: skip
METHODS = [
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "get",
    "G ET",
]
ENDS = [
    "/",
    "//",
    "/..",
    "/%2e%2e/%2e%2e/etc/passwd",
    "%00",
    "%ff",
    "%c0%ae",
    ";a=b",
    "%20",
    "/" + "a" * 9000,
]
QUERIES = [
    b"%", b"%ff=%fe", b"&&&", b"=", b"a=%00", b"\xff\xfe", b"cursor=%ed%a0%80", b"a" * 70_000,
    b"&" * 3000,
]  # fmt: skip
FORMS = [
    b"", b"--x\r\n\r\n--x--",
    b'--x\r\ncontent-disposition: form-data; name="a"; filename="../../x"\r\n\r\n\xff\xff\r\n--x--\r\n',
]  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A path with {parameters}, and what it takes: names of query parameters, of the body's fields."""

    path: str
    methods: Sequence[str]
    query: Sequence[str] = ()
    fields: Sequence[str] = ()
    is_form: bool = False


@dataclass
class Attack:
    """One request."""

    method: str
    path: bytes
    query: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)

    def __str__(self) -> str:
        body = b"".join(self.body)
        url = f"{self.method} {self.path[:300]!r}?{self.query[:300]!r}"
        return f"{url} {self.headers} {body[:600]!r} ({len(body)} bytes)"


class Attacker:
    """Makes requests.

    :param known: ids of tasks that there are, to get further than to a 404.
    """

    def __init__(
        self, seed: int, targets: Sequence[Target], known: Sequence[UUID], form: dict[str, str]
    ) -> None:
        self._random = random.Random(seed)
        self._targets, self._known, self._form = targets, [str(id) for id in known], form

    def attacks(self, count: int) -> Iterator[Attack]:
        """So many requests, at every target the same number."""
        for number in range(count):
            yield self._attack(self._targets[number % len(self._targets)])

    def _attack(self, target: Target) -> Attack:
        chance = self._random.random
        method = self._one(target.methods) if chance() < 0.9 else self._one(METHODS)
        attack = Attack(method, self._path(target), self._query(target))
        if method in ("GET", "HEAD") and chance() < 0.95:
            return attack
        kind, body = self._form_body(target) if target.is_form else self._json_body(target)
        if chance() < 0.08:
            kind = self._one(TYPES)
        attack.headers.append((b"content-type", kind.encode("utf-8", "replace")))
        attack.body = self._pieces(body)
        return attack

    def _path(self, target: Target) -> bytes:
        parts = []
        for part in target.path.split("/"):
            if part.startswith("{"):
                known = self._known if ":int}" not in part else [str(n) for n in NUMBERS[:8]]
                name = self._one(known) if self._random.random() < 0.7 else self._text()
                parts.append(
                    quote(
                        name.encode("utf-8", "surrogatepass"),
                        safe="" if self._random.random() < 0.8 else "/.%",
                    )
                )
            else:
                parts.append(part)
        path = "/".join(parts)
        if self._random.random() < 0.05:
            path += self._one(ENDS)
        return path.encode("ascii", "ignore")

    def _query(self, target: Target) -> bytes:
        if self._random.random() < (0.4 if target.query else 0.9):
            return b""
        if self._random.random() < 0.1:
            return self._one(QUERIES)
        names = [
            self._one(target.query) if target.query and self._random.random() < 0.9 else self._text()
            for _ in range(self._random.randint(1, 4))
        ]
        pairs = [
            (name, self._one(self._known) if self._random.random() < 0.2 else self._text()) for name in names
        ]
        return urlencode(pairs, errors="surrogatepass").encode()

    def _json_body(self, target: Target) -> tuple[str, bytes]:
        if self._random.random() < 0.1:
            return "application/json", self._one([*RAW, b"", b"null", b"[]", b"{}", b'"a"', b"1"])
        chosen = [name for name in target.fields if self._random.random() < 0.6]
        wrong = set(chosen) if self._random.random() < 0.4 else {self._one([*target.fields, ""])}
        body = {
            name: self._value(name) if name in wrong else plausible(name, self._random, self._known)
            for name in chosen
        }
        text = json.dumps(body, ensure_ascii=self._random.random() < 0.5).encode("utf-8", "surrogatepass")
        if body and self._random.random() < 0.15:
            name = json.dumps(self._one(list(body))).encode()
            text = text[:-1] + b"," + name + b":" + self._one(RAW) + b"}"
        return "application/json", text

    def _form_body(self, target: Target) -> tuple[str, bytes]:
        pairs = [(name, self._text()) for name in target.fields if self._random.random() < 0.7]
        if self._random.random() < 0.95:
            pairs += self._form.items()
        if self._random.random() < 0.1:
            return "multipart/form-data; boundary=x", self._one(FORMS)
        return "application/x-www-form-urlencoded", urlencode(pairs, errors="surrogatepass").encode()

    def _value(self, name: str, depth: int = 0) -> Any:
        match self._random.random():
            case r if r < 0.3:
                return plausible(name, self._random, self._known)
            case r if r < 0.65:
                return self._one(self._known) if self._random.random() < 0.2 else self._text()
            case r if r < 0.8:
                return self._one(NUMBERS)
            case r if r < 0.9 and depth < 4:
                return [self._value(name, depth + 1) for _ in range(self._random.randint(0, 4))]
            case r if r < 0.97 and depth < 4:
                return {
                    self._text()[:300]: self._value(name, depth + 1)
                    for _ in range(self._random.randint(0, 3))
                }
        return self._one([None, True, False, [[]] * 100, ["a"] * 5000])

    def _text(self) -> str:
        if self._random.random() < 0.15:
            return "".join(
                chr(self._random.choice((self._random.randrange(128), self._random.randrange(0xD7FF))))
                for _ in range(8)
            )
        return self._one(TEXTS)

    def _pieces(self, body: bytes) -> list[bytes]:
        if self._random.random() < 0.9 or len(body) < 2:
            return [body]
        at = self._random.randrange(len(body))
        return [body[:at], b"", body[at:]]

    def _one(self, choices: Any) -> Any:
        return self._random.choice(choices)


def plausible(name: str, random: random.Random, known: Sequence[str]) -> Any:
    """What a field of this name may well hold."""
    one = random.choice(known)
    graph = [{"role": "a", "id": "x"}, {"role": "b", "depends_on": ["x"]}]
    return {
        "role": "resize", "payload": {"a": "%s" + SCRIPT}, "depends_on": [one], "id": one, "parent_id": one,
        "mission_id": one, "tasks": graph, "ids": [one], "filter": {"role": ["resize"]}, "timeout": 1.5,
        "verb": random.choice(("cancel", "retry", "rerun", "approve")), "reason": SCRIPT, "delay": 1,
        "priority": 3, "input": {}, "result": [SCRIPT], "run_at": "2026-01-01T00:00:00Z", "max_attempts": 2,
        "requires_approval": True, "on_dependency_failure": "run", "dedup_key": SCRIPT,
    }.get(name, SCRIPT)  # fmt: skip


async def send(
    app: ASGIApp, attack: Attack, headers: Iterable[tuple[bytes, bytes]]
) -> tuple[int, dict[str, str], bytes]:
    """Send it to the application, as a server does that then loses the connection."""
    path = unquote(attack.path.decode("ascii"))
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "scheme": "http", "method": attack.method, "path": path, "raw_path": attack.path,
        "query_string": attack.query, "root_path": "", "client": ("127.0.0.1", 12345),
        "headers": [(b"host", b"127.0.0.1"), *headers, *attack.headers],
        "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip
    incoming: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": number + 1 < len(attack.body)}
        for number, piece in enumerate(attack.body or [b""])
    ]
    start: dict[str, Any] = {}
    body = bytearray()

    async def receive() -> Message:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))

    try:
        await app(scope, receive, sent)
    except Exception as error:  # the server would log it, and the answer is a 500
        body.extend("".join(traceback.format_exception(error)[-4:]).encode())
        start.setdefault("status", 500)
    found = {name.decode().lower(): value.decode("latin-1") for name, value in start.get("headers", ())}
    return start.get("status", 0), found, bytes(body)
