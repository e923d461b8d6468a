"""Redaction: what is taken out, what is left alone, and that it never takes long."""

from __future__ import annotations

import json
import re
import string
import time
from re import _parser  # type: ignore[attr-defined]  # the only way to look at a pattern's repetitions
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskq.agent import redaction
from taskq.agent.redaction import Redactor
from taskq.settings import secrets

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA0\nabcdefghabcdefgh\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N-XgL0n3I9PlFUP0THsR8U"
AWS = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKENS = {
    "sk-ant-api03-AbCdEfGhIjKlMnOp_q-AA": "anthropic key",
    "sk-proj-Abc1234567890123456789": "api key",
    "ghp_" + "a1B2" * 9: "github token",
    "ghs_" + "a1B2" * 9: "github token",
    "github_pat_11ABCDEFG0abcdefghijkl_mnop": "github token",
    "xoxb-123456789012-abcdefghijkl": "slack token",
    "xapp-1-A012345-6789-abcdef": "slack token",
    "AKIAIOSFODNN7EXAMPLE": "aws key",
    "ASIAIOSFODNN7EXAMPLE": "aws key",
    JWT: "jwt",
    PEM: "private key",
    PEM.replace("\n", "\\n"): "private key",
    PEM.replace("RSA ", ""): "private key",
}
IN_CONTEXT = [
    ("Authorization: Bearer abcDEF123456.-_~+/==", "Authorization: Bearer [redacted: credential]"),
    ('"authorization": "Basic dXNlcjpwYXNz"', '"authorization": "Basic [redacted: credential]"'),
    (r"{\"Authorization\": \"token abcdefgh12\"}", r"{\"Authorization\": \"token [redacted: credential]\"}"),
    (f"AWS_SECRET_ACCESS_KEY={AWS}", "AWS_SECRET_ACCESS_KEY=[redacted: aws secret]"),
    (f'"SecretAccessKey": "{AWS}"', '"SecretAccessKey": "[redacted: aws secret]"'),
    ("postgresql://ann:s3cr%2Fet@db/work", "postgresql://ann:[redacted: password]@db/work"),
    ("redis://:hush@cache:6379/0", "redis://:[redacted: password]@cache:6379/0"),
    (
        "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nMIIEpA and then?",
        "[redacted: private key]\nMIIEpA and then?",
    ),
]
ORDINARY = [
    "the task-2024-report, risk-free, and desk-lamp-with-a-long-name",
    "sk-circle sk-long-hyphenated-class-name-2 sk-ONLY-CAPITALS-WITHOUT-NUMBERS",
    "see http://host:8080/path@version and http://h/a:b@c and mailto:ann@example.org",
    "https://ann@example.org/ git@github.com:owner/name.git",
    f"digest {AWS} of a file",
    "Authorization: Bearer",
    "-----BEGIN CERTIFICATE-----\nMIIEpAIBAAKCAQEA\n-----END CERTIFICATE-----",
    "eyJhbGciOiJIUzI1NiJ9 alone",
    "AKIA and ghp_ and xoxb- and sk-ant-",
    "[redacted: secret] already",
    "",
]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("around", ["{}", "key={}.", '{{"k": "{}"}}', "a\n{}\nb", r"a\n{}\n", "({})", "<{}>"])
def test_a_token_is_replaced_by_its_kind(token: str, around: str) -> None:
    mark = f"[redacted: {TOKENS[token]}]"
    assert Redactor().clean(around.format(token)) == around.format(mark)


@pytest.mark.parametrize(("text", "cleaned"), IN_CONTEXT)
def test_what_only_its_context_shows_is_replaced_and_the_context_kept(text: str, cleaned: str) -> None:
    assert Redactor().clean(text) == cleaned


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert Redactor(["hunter2hunter2"]).clean(text) == text


@settings(deadline=None)
@given(st.text(max_size=300))
def test_text_without_the_beginnings_of_tokens_is_unchanged(text: str) -> None:
    begins = r"sk-|gh[pousr]_|github_pat_|xox|xapp-|A[KS]IA|eyJ|://|-----BEGIN|secret|authorization"
    if not re.search(begins, text, re.IGNORECASE):
        assert Redactor(["hunter2hunter2"]).clean(text) == text


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([*string.ascii_letters, *string.digits, " ", "-", "_", "/", ":", "\n"]), max_size=80
    )
)
def test_words_and_paths_are_unchanged(characters: list[str]) -> None:
    text = "".join(characters)
    if "://" not in text and not re.search(r"(?:sk-|_|AKIA|ASIA|eyJ|xox)", text):
        assert Redactor().clean(text) == text


def test_a_known_secret_is_replaced_wherever_and_however_it_is_written() -> None:
    secret = 'p"a/s s\\wörd'
    redactor = Redactor([secret])
    for text in (secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), f"x{secret}y"):
        assert "rd" not in redactor.clean(text)
    assert redactor.clean("?p=p%22a%2Fs%20s%5Cw%C3%B6rd") == "?p=[redacted: secret]"


def test_the_longer_of_two_secrets_is_replaced_as_a_whole() -> None:
    assert Redactor(["12345678", "1234567890"]).clean("1234567890") == "[redacted: secret]"


def test_a_short_secret_is_not_looked_for() -> None:
    assert Redactor(["short", "", "1234567"]).clean("short 1234567") == "short 1234567"


def test_every_text_of_a_value_is_cleaned() -> None:
    value = {"a": ["hunter2hunter2", 1, None, True, {"hunter2hunter2": 2.5}], "b": ("hunter2hunter2",)}
    assert Redactor(["hunter2hunter2"]).clean_value(value) == {
        "a": ["[redacted: secret]", 1, None, True, {"[redacted: secret]": 2.5}],
        "b": ["[redacted: secret]"],
    }


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.sampled_from([*TOKENS, *ORDINARY, 'quote"', "back\\slash"]), lambda inner: st.lists(inner)
    )
)
def test_cleaning_json_text_leaves_json(value: Any) -> None:
    cleaned = Redactor(["hunter2hunter2"]).clean(json.dumps(value))
    assert type(json.loads(cleaned)) is type(value)


# Pieces that stand beside each other in every way: what one replacement leaves must be no new token.
PIECES = [*TOKENS, *(text for text, _ in IN_CONTEXT), *ORDINARY]
PIECES += [
    "sk-ant-",
    "sk-",
    "eyJ",
    "-----",
    "://",
    "@",
    ":",
    "A1b2C3d4E5f6G7h8",
    "=",
    "[",
    "]",
    " ",
    "\\n",
    '"',
]
PIECES += ["[redacted: ", "redacted: secret]", "secret_access_key=", "Authorization: Bearer "]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=8),
    st.sets(
        st.sampled_from(
            ["hunter2hunter2", "redacted: secret", "redacted", "token]xx", "abcdefg[", "abcd[red"]
        )
        | st.sampled_from([token[2:] for token in TOKENS])
        | st.text(min_size=8, max_size=12)
    ),
)
def test_cleaning_twice_changes_nothing_more(pieces: list[str], known: set[str]) -> None:
    redactor = Redactor(known)
    text = "".join([*pieces, *sorted(known), *pieces])
    cleaned = redactor.clean(text)
    assert redactor.clean(cleaned) == cleaned
    assert Redactor(sorted(known, reverse=True)).clean(text) == cleaned


def test_no_repetition_can_be_backtracked_into() -> None:
    """Each is possessive, or bounded; and none that is not possessive holds another."""
    for kind, shape in redaction._SHAPES:
        for least, most, possessive, depth in repetitions(_parser.parse(shape.pattern, shape.flags)):
            assert possessive or most <= 256, (kind, least, most)
            assert possessive or depth == 0, f"{kind}: a repetition within another"


def repetitions(tree: Any, depth: int = 0) -> list[tuple[int, int, bool, int]]:
    """Bounds of every repetition of a parsed pattern, whether it is possessive, and how many hold it."""
    found = []
    for node in tree:
        operation, argument = node
        inner = depth
        if str(operation) in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, argument = argument
            possessive = str(operation) == "POSSESSIVE_REPEAT"
            found.append((int(least), int(most), possessive or least == most, depth))
            inner += not possessive
        parts = argument if isinstance(argument, tuple | list) else [argument]
        for part in parts:
            for subtree in part if isinstance(part, list) else [part]:
                if isinstance(subtree, _parser.SubPattern):
                    found += repetitions(subtree, inner)
    return found


HOSTILE = [
    "sk-",
    "sk-ant-",
    "sk-a1",
    "eyJ",
    "eyJaaaaaaaa.",
    "eyJaaaaaaaa.eyJaaaaaaaa",
    "ghp_",
    "xoxb-",
    "AKIA",
]
HOSTILE += [
    "://",
    "://a:",
    "://:" + "a" * 255,
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "-",
    "\\n",
    " ",
    "a",
]
HOSTILE += [
    "-----BEGIN PRIVATE KEY-----" + "A" * 16,
    "secret_access_key=",
    "authorization    ",
    "hunter2hunter",
]
HOSTILE += ["-----BEGIN PRIVATE KEY-----\n", "Authorization: Bearer ", "\ud800", "sk-" + "a" * 1000 + " "]


@pytest.mark.parametrize("piece", HOSTILE)
def test_work_grows_no_faster_than_the_text(piece: str) -> None:
    """Processor time of a megabyte against that of its sixteenth part: 16 times as much, not 256."""
    redactor = Redactor(["hunter2hunter2", "a" * 64 + "b"])

    def work(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        begun = time.process_time()
        redactor.clean(text)
        return time.process_time() - begun

    small, large = 2**16, 2**20
    assert work(large) < 16 * 5 * max(min(work(small) for _ in range(3)), 0.002)


def test_the_environments_secrets_are_known() -> None:
    found = secrets(
        {
            "ANTHROPIC_API_KEY": "key-of-anthropic",
            "SLACK_TOKEN": " padded ",
            "my_secret": "lower case",
            "PGPASSWORD": "of libpq",
            "TASKQ_DATABASE_URL": "postgresql://ann:s3cr%2Fet@db:5432/work?sslmode=require",
            "CACHE": "redis://:hush@cache/0",
            "OTHER_URL": "postgresql:///db?user=ann&password=in%20query",
            "LOCAL": "postgresql://postgres:postgres@127.0.0.1:5432/app",
            "PLAIN": "http://host:8080/path",
            "EMPTY_KEY": "",
        }
    )
    assert found == {
        "key-of-anthropic",
        "padded",
        "lower case",
        "of libpq",
        "s3cr%2Fet",
        "s3cr/et",
        "hush",
        "in%20query",
        "in query",
    }


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hunter2hunter2")
    assert "hunter2hunter2" in secrets()
