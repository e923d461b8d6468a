"""A role that a model plays: one attempt, from the manifest and what the worker has to the result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskq.agent.children import ASK_HUMAN, delegate
from taskq.agent.claude import Claude
from taskq.agent.conversation import Conversation
from taskq.agent.http import Fetcher, http_get
from taskq.agent.loop import Run
from taskq.agent.manifest import Manifest
from taskq.agent.mcp import connect
from taskq.agent.prices import Prices
from taskq.agent.redaction import Redactor
from taskq.agent.run_check import run_check
from taskq.agent.tools import TOOLS, allowed
from taskq.agent.workspace import Workspace
from taskq.task import Task
from taskq.tool import Tool


@dataclass(frozen=True)
class House:
    """What the agents of a worker share.

    :param claude: the client of the Messages API.
    :param tools: the program's own tools; a mapping that may still grow.
    :param home: where tasks have their own directories.
    """

    claude: Claude
    tools: Mapping[str, Tool]
    home: Path
    prices: Prices
    redactor: Redactor = field(default_factory=Redactor)


@dataclass(frozen=True)
class Player:
    """Plays a manifest."""

    manifest: Manifest
    house: House

    async def play(self, task: Task) -> dict[str, Any]:
        """Play one attempt of a task, from wherever its conversation ends; see `Run.to_its_end`."""
        house, manifest = self.house, self.manifest
        conversation = await Conversation.open(
            task, simulated=house.claude.simulated, redact=house.redactor.clean_value
        )
        async with connect(manifest.mcp) as servers:
            tools, repositories = await self._rights(task, servers)
            workspace = Workspace.of(task.id, task.payload, repositories=repositories, home=house.home)
            run = Run(
                task,
                manifest,
                house.claude,
                conversation,
                tools=tools,
                workspace=workspace,
                prices=house.prices,
            )
            return await run.to_its_end()

    def registry(self, servers: list[Tool] | None = None) -> dict[str, Tool]:
        """Every tool that this role could be allowed, by name."""
        manifest = self.manifest
        own = [ASK_HUMAN]
        if manifest.delegates:
            own.append(delegate(manifest.delegates))
        if manifest.hosts:
            own.append(http_get(Fetcher(manifest.hosts)))
        if manifest.commands:
            own.append(run_check(manifest.commands))
        tools = TOOLS | {tool.name: tool for tool in own} | dict(self.house.tools)
        return tools | {tool.name: tool for tool in servers or []}

    async def _rights(self, task: Task, servers: list[Tool]) -> tuple[dict[str, Tool], list[str]]:
        """The tools and the checkouts that this task may use: what the role says today, within what the task
        began with and what its parent may do."""
        manifest, registry = self.manifest, self.registry(servers)
        said = {
            "tools": [tool.name for tool in allowed(manifest.tools, registry, is_whole=not manifest.mcp)],
            "repositories": list(manifest.repositories),
        }
        if manifest.budget or manifest.daily_budget:
            await task.call("declare_budgets", *map(_limits, (manifest.budget, manifest.daily_budget)))
        policy = json.loads(await task.call("adopt_policy", json.dumps(said)))
        return {name: registry[name] for name in said["tools"] if name in policy["tools"]}, policy[
            "repositories"
        ]


def _limits(budget: Mapping[str, float] | None) -> str | None:
    return json.dumps(budget) if budget else None
