"""The roles of the demo that no agent plays."""

from __future__ import annotations

from collections import Counter
from typing import Any

from taskq.app import App
from taskq.task import Task

app = App()


@app.role("sign-off")
async def sign_off(task: Task) -> dict[str, Any]:
    """Stands for the person: it runs when one has approved."""
    return {"signed_off": [str(id) for id in task.parents]}


@app.role("summary")
async def summary(task: Task) -> dict[str, Any]:
    """Adds up what the agents did."""
    agents = [result for result in task.parents.values() if "turns" in result]
    tools: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    files: set[str] = set()
    for result in agents:
        tools.update(result["tools"])
        tokens.update(result["usage"])
        if isinstance(result["response"], dict):
            files.update(map(str, result["response"].get("files", [])))
    return {
        "agents": len(agents),
        "turns": sum(result["turns"] for result in agents),
        "tools": dict(sorted(tools.items())),
        "tokens": {"in": tokens.total() - tokens["output_tokens"], "out": tokens["output_tokens"]},
        "files": sorted(files),
    }
