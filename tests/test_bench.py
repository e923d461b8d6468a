"""The measurements run; what they measure is no matter here (never a timed test)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from backend import Databases

ROOT = Path(__file__).resolve().parent.parent
BENCHES = [
    "drain",
    "held",
    "backlog",
    "storm",
    "wake",
    "graph",
    "idle",
    "crash",
    "enqueue",
    "agents",
    "chaos",
    "web",
]


def test_every_bench_measures_and_prints_its_figures_as_json(databases: Databases) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--no-peers", "--json"],
        cwd=ROOT,
        env=os.environ | {"BENCH_DATABASE_URL": databases.maintenance},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(dict.fromkeys(figure["bench"] for figure in report["figures"])) == BENCHES
    assert all(figure["median"] >= 0 for figure in report["figures"] if figure["unit"] != "ms")
    assert "≥ 0.6" in {figure["target"] for figure in report["figures"]}
