"""Role manifests: what is understood, and what the errors name."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from taskq.agent.manifest import Manifest, ManifestError, load_all
from taskq.agent.tools import TOOLS, allowed
from taskq.errors import SettingsError

ROLES = Path(__file__).parent.parent / "roles"

WHOLE = """\
---
description: Looks things up.
model: claude-sonnet-5-5
tools: ["read_*", grep]
max_turns: 7
max_output_tokens: 1000
timeout: 10min
max_attempts: 2
backoff: [1s, 30, 2min]
---
Look it up.

---
This rule is part of the instructions.
"""


def test_a_manifest_says_all_this() -> None:
    manifest = Manifest.parse(WHOLE, Path("roles/librarian.md"))
    assert manifest == Manifest(
        name="librarian",
        description="Looks things up.",
        model="claude-sonnet-5-5",
        tools=("read_*", "grep"),
        max_turns=7,
        max_output_tokens=1000,
        timeout=timedelta(minutes=10),
        max_attempts=2,
        backoff=(timedelta(seconds=1), timedelta(seconds=30), timedelta(minutes=2)),
        instructions="Look it up.\n\n---\nThis rule is part of the instructions.",
    )


def test_only_the_model_and_the_instructions_are_required() -> None:
    manifest = Manifest.parse("---\nmodel: m\n---\nDo it.", Path("a.md"))
    assert (manifest.tools, manifest.timeout, manifest.max_attempts) == ((), None, None)
    assert manifest.max_turns > 0
    assert manifest.max_output_tokens > 0


def test_lines_may_end_as_on_windows() -> None:
    assert Manifest.parse(WHOLE.replace("\n", "\r\n"), Path("a.md")).max_turns == 7


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("max_turn: 3", "max_turn: unknown"),
        ("max_turns: many", "max_turns: must be a whole number"),
        ("max_turns: 0", "max_turns: must be a whole number"),
        ("max_turns: true", "max_turns: must be a whole number"),
        ("max_turns: 3.5", "max_turns: must be a whole number"),
        ("max_output_tokens: -1", "max_output_tokens: must be"),
        ("max_attempts: 0", "max_attempts: must be"),
        ("backoff: 5s", "backoff: must be a list of seconds or durations"),
        ("backoff: [soon]", "backoff: must be seconds or a duration"),
        ("tools: read_file", "tools: must be a list"),
        ("tools: [1]", "tools: must be a list"),
        ("timeout: soon", "timeout: must be seconds or a duration"),
        ("timeout: 0", "timeout: must be longer"),
        ("timeout: -5", "timeout: must be seconds or a duration"),
        ("description: [a]", "description: must be text"),
        ("fallback: claude", "fallback: must be a list of models"),
        ("allow_unpriced: 1", "allow_unpriced: must be true or false"),
        ("budget: 5", "budget: must say one or more of tokens, cost"),
        ("budget: {}", "budget: must say one or more of tokens, cost"),
        ("budget: {euros: 5}", "budget: must say one or more of tokens, cost"),
        ("budget: {tokens: 1.5}", "budget: tokens must be a whole number"),
        ("budget: {cost: 0}", "budget: cost must be US dollars"),
        ("daily_budget: {seconds: soon}", "daily_budget: seconds must be seconds or a duration"),
        ("model: other", "model: given twice"),
    ],
)
def test_an_error_names_the_file_and_the_field(line: str, named: str) -> None:
    with pytest.raises(ManifestError) as caught:
        Manifest.parse(f"---\nmodel: m\n{line}\n---\nDo it.", Path("roles/broken.md"))
    assert str(caught.value).startswith(f"roles/broken.md: {named}")


def test_a_budget_is_numbers_and_its_seconds_may_be_a_duration() -> None:
    manifest = Manifest.parse(
        "---\nmodel: m\nfallback: [n, o]\nallow_unpriced: true\n"
        "budget: {tokens: 100_000, cost: 1.5, turns: 20, tool_calls: 0, seconds: 10min}\n"
        "daily_budget: {cost: 20}\n---\nDo it.",
        Path("a.md"),
    )
    assert manifest.budget == {"tokens": 100_000, "cost": 1.5, "turns": 20, "tool_calls": 0, "seconds": 600}
    assert manifest.daily_budget == {"cost": 20}
    assert (manifest.fallback, manifest.allow_unpriced) == (("n", "o"), True)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("---\ntools: []\n---\nDo it.", "model: missing"),
        ("---\nmodel:\n---\nDo it.", "model: must be text"),
        ("---\nmodel: [a]\n---\nDo it.", "model: must be text"),
        ("---\nmodel: m\n---\n  \n", "instructions"),
        ("Do it.", "between two lines of '---'"),
        ("---\nmodel: m\nDo it.", "between two lines of '---'"),
        ("---\n: : :\n\t- x\n---\nDo it.", "no YAML"),
        ("---\n- model\n---\nDo it.", "'field: value'"),
        ("---\n---\nDo it.", "'field: value'"),
    ],
)
def test_what_is_no_manifest_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(ManifestError) as caught:
        Manifest.parse(text, Path("roles/broken.md"))
    assert "roles/broken.md" in str(caught.value)
    assert named in str(caught.value)


def test_a_file_name_that_is_no_role_is_refused() -> None:
    with pytest.raises(ManifestError, match=r"my role\.md"):
        Manifest.parse(WHOLE, Path("my role.md"))


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.md").write_bytes(b"---\nmodel: m\n---\n\xe9\xff")
    for name in ("missing.md", "latin.md"):
        with pytest.raises(ManifestError, match=name):
            Manifest.load(tmp_path / name)


def test_a_directory_gives_its_manifests_by_name_without_the_readme(tmp_path: Path) -> None:
    for name in ("b.md", "a.md"):
        (tmp_path / name).write_text(WHOLE)
    (tmp_path / "README.md").write_text("What these are.")
    assert [manifest.name for manifest in load_all(tmp_path)] == ["a", "b"]


def test_a_directory_without_manifests_is_an_error(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SettingsError, match=str(directory)):
            load_all(directory)


def test_the_example_roles_can_be_used() -> None:
    manifests = load_all(ROLES)
    assert {manifest.name for manifest in manifests} == {
        "SABINE_ARCHITECT",
        "backend-architect-sabine",
        "frontend-ops-sabine",
        "data-ai-engineer-sabine",
        "product-manager-sabine",
        "qa-security-sabine",
    }
    for manifest in manifests:
        assert [tool.name for tool in allowed(manifest.tools, TOOLS)] == [
            "list_dir",
            "read_file",
            "grep",
            "submit_result",
        ]
        assert 200 <= len(manifest.instructions.split()) <= 500
        assert manifest.description
