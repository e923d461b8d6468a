"""The inspection of what an agent hands in: the form first, then the evidence that its role declared.

A failed check goes back to the agent as the next message, a bounded number of times; a result that passes is what
its dependents wait for.
"""

from __future__ import annotations

from typing import Any

import msgspec

from taskq.agent.conversation import Conversation
from taskq.agent.evidence import Check, examine, failure, report, submission_schema
from taskq.agent.manifest import Manifest
from taskq.agent.tools import SUBMIT, run_command
from taskq.agent.workspace import Workspace
from taskq.errors import Fail
from taskq.task import Child, Task
from taskq.tool import Tool, ToolError


class Inspection:
    """The checks of one attempt.

    :param submit: the tool that hands in; None when the role's last words are its result.
    """

    def __init__(
        self,
        task: Task,
        manifest: Manifest,
        workspace: Workspace,
        conversation: Conversation,
        submit: Tool | None,
    ) -> None:
        self._task, self._manifest, self._workspace = task, manifest, workspace
        self._conversation, self._submit = conversation, submit

    def offer(self, tool: Tool) -> dict[str, Any]:
        """A tool as the model hears of it: what it hands in has the schema that is checked."""
        offer = tool.offer()
        if tool.name == SUBMIT and self._manifest.evidence.schema is not None:
            offer["input_schema"] = submission_schema(self._manifest.evidence)
        return offer

    def fault(self, submission: object) -> str | None:
        """What is wrong with the form of a submission."""
        if self._submit is None or self._manifest.evidence.schema is not None:
            return None
        try:
            self._submit.check(submission)
        except ToolError as error:
            return str(error)
        return None

    async def report(self, submission: Any) -> str | None:
        """What the agent is told when the evidence is missing; None when the submission counts.

        :raises Fail: it was told so often enough.
        :raises Suspended: a reviewer is at it.
        """
        evidence = self._manifest.evidence
        if evidence.is_empty:
            return None
        round = await self._task.call("rounds_examined") + 1
        checks = await examine(
            evidence,
            submission,
            root=self._workspace.directory,
            run=self._run,
            calls=await self._successes(),
            review=self._review,
            round=round,
        )
        await self._task.call(
            "record_checks", round, msgspec.json.encode(checks).decode().replace("\\u0000", "\\ufffd")
        )
        if all(check.passed for check in checks):
            return None
        if round >= evidence.rounds:
            raise Fail(failure(checks), kind="validation_error")
        return report(checks)

    async def _run(self, name: str) -> tuple[int, str]:
        return await run_command(self._manifest.commands[name], self._workspace)

    async def _successes(self) -> dict[str, int]:
        rows = await self._task.rows("tool_calls")
        names = [row["tool"] for row in rows if row["status"] == "success"]
        return {name: names.count(name) for name in names}

    async def _review(self, role: str, payload: dict[str, Any], key: str) -> Child:
        [child] = await self._task.spawn([{"role": role, "name": "review", "payload": payload}], key=key)
        return child


__all__ = ["Check", "Inspection"]
