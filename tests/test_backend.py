"""The servers that the tests can use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import backend

TESTS = Path(__file__).parent


def collect(tmp_path: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """A run of pytest of its own, which only collects."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TASKQ_TEST", "PYTEST_"))
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-p",
        "no:cacheprovider",
        str(TESTS / "test_backend.py"),
    ]
    return subprocess.run(command, env={**kept, **environ}, cwd=TESTS.parent, capture_output=True, text=True)


def test_without_a_container_engine_a_run_that_wants_one_fails_and_says_why(tmp_path):
    done = collect(tmp_path, TASKQ_TEST_BACKEND="container", DOCKER_HOST=f"unix://{tmp_path}/no.sock")
    assert done.returncode == 3
    assert "no container of postgres:18-alpine can be started: " in done.stdout + done.stderr


def test_a_run_leaves_no_directory_behind(tmp_path):
    before = set(backend.run_directory().parent.glob("taskq-*"))
    assert collect(tmp_path, TASKQ_TEST_RUN="leaves-nothing").returncode == 0
    after = set(backend.run_directory().parent.glob("taskq-*"))
    assert not [path for path in after - before if path.name == "taskq-leaves-nothing"]
