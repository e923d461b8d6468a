"""A role that a model plays: one attempt, from the manifest and what the worker has to the result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from taskq.agent.children import ASK_HUMAN, delegate
from taskq.agent.claude import Claude
from taskq.agent.conversation import Conversation
from taskq.agent.discreet import DiscreetLine, discreet
from taskq.agent.http import Fetcher, http_get
from taskq.agent.loop import Run
from taskq.agent.manifest import Manifest
from taskq.agent.mcp import connect
from taskq.agent.prices import Prices
from taskq.agent.redaction import Redactor
from taskq.agent.run_check import run_check
from taskq.agent.tools import TOOLS, allowed
from taskq.agent.workspace import Workspace
from taskq.errors import SettingsError
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
        """Play one attempt of a task, from wherever its conversation ends; see `Run.to_its_end`.

        :raises Failed: what `Run.to_its_end` raised spoke of a secret.
        """
        redactor = self.house.redactor
        task._line = DiscreetLine(task._line, redactor)
        try:
            return dict(redactor.clean_value(await self._play(task)))
        except Exception as error:
            if (instead := discreet(error, redactor)) is error:
                raise
            raise instead from None

    async def _play(self, task: Task) -> dict[str, Any]:
        house = self.house
        conversation = await Conversation.open(
            task, simulated=house.claude.simulated, redact=house.redactor.clean_value
        )
        async with connect(self.manifest.mcp) as servers:
            manifest, tools = await self._within_rights(task, servers)
            workspace = Workspace.of(
                task.id, task.payload, repositories=manifest.repositories, home=house.home
            )
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

    async def _within_rights(self, task: Task, servers: list[Tool]) -> tuple[Manifest, dict[str, Tool]]:
        """The manifest and the tools of this task: what the role says today, within what the task began with
        and what its parent may do."""
        manifest, all_tools = self.manifest, registry(self.manifest, self.house.tools, servers)
        says = {
            "tools": [tool.name for tool in allowed(manifest.tools, all_tools, is_whole=not manifest.mcp)],
            "repositories": list(manifest.repositories),
            "hosts": list(manifest.hosts),
            "delegates": list(manifest.delegates),
        }
        if manifest.budget or manifest.daily_budget:
            await task.call("declare_budgets", *map(_limits, (manifest.budget, manifest.daily_budget)))
        may = json.loads(await task.call("adopt_policy", json.dumps(says)))
        narrowed = replace(
            manifest,
            repositories=tuple(may["repositories"]),
            hosts=tuple(may["hosts"]),
            delegates=tuple(may["delegates"]),
        )
        tools = registry(narrowed, self.house.tools, servers)
        return narrowed, {name: tools[name] for name in may["tools"] if name in tools}


def registry(
    manifest: Manifest, program: Mapping[str, Tool], servers: Iterable[Tool] = ()
) -> dict[str, Tool]:
    """Every tool that a role could be allowed, by name.

    :param program: the program's own tools.
    :param servers: those of the MCP servers.
    :raises SettingsError: two have the same name.
    """
    own = [ASK_HUMAN]
    if manifest.delegates:
        own.append(delegate(manifest.delegates))
    if manifest.hosts:
        own.append(http_get(Fetcher(manifest.hosts)))
    if manifest.commands:
        own.append(run_check(manifest.commands))
    tools = dict(TOOLS)
    for tool in [*own, *program.values(), *servers]:
        if tool.name in tools:
            raise SettingsError(f"tool {tool.name}: there are two of this name; give yours another")
        tools[tool.name] = tool
    return tools


def _limits(budget: Mapping[str, float] | None) -> str | None:
    return json.dumps(budget) if budget else None
