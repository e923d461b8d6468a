"""Manifests as roles of an App, and what must be there before the first task."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from taskq.agent import ManifestError, add_agents, require_key
from taskq.app import App
from taskq.errors import SettingsError
from taskq.settings import Settings

ROLES = Path(__file__).parent.parent / "roles"


def test_every_manifest_becomes_a_role() -> None:
    app = App()
    names = add_agents(app, ROLES, api_key="k")
    assert names == list(app.roles)
    assert len(names) == 7
    role = app.roles["qa-security-sabine"]
    assert role.backoff == (timedelta(seconds=1), timedelta(seconds=15), timedelta(minutes=1))
    assert (role.timeout, role.isolation, role.payload_type) == (timedelta(minutes=20), "loop", None)
    assert role.description


def test_without_a_key_nothing_is_added_and_the_ways_out_are_named() -> None:
    app = App()
    for key in (None, ""):
        with pytest.raises(SettingsError, match=r"ANTHROPIC_API_KEY is not set.*--offline"):
            add_agents(app, ROLES, api_key=key)
    assert not app.roles


def test_the_key_comes_from_the_settings() -> None:
    assert require_key(Settings(anthropic_api_key="k")) == "k"
    with pytest.raises(SettingsError, match="--offline"):
        require_key(Settings())


def test_a_glob_that_matches_no_tool_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "typist.md").write_text("---\nmodel: m\ntools: [reed_file]\n---\nRead.")
    with pytest.raises(
        ManifestError, match=r"typist\.md: tools: 'reed_file' matches no tool; there are list_dir"
    ):
        add_agents(App(), tmp_path, api_key="k")


def test_evidence_that_a_role_could_never_show_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "typist.md").write_text(
        "---\nmodel: m\ntools: [grep]\nevidence: {tools: [read_file]}\n---\nRead."
    )
    with pytest.raises(ManifestError, match=r"typist\.md: evidence: tools: 'read_file': is no tool"):
        add_agents(App(), tmp_path, api_key="k")


def test_importing_taskq_agent_imports_no_sdk() -> None:
    """It takes seconds; a client that only inserts tasks must not pay for it."""
    program = (
        "import sys, taskq.agent, taskq.testing; "
        "print({'anthropic', 'httpx2', 'yaml', 'jsonschema', 'uvicorn', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
