"""The inspection of what an agent hands in: its form, then the evidence that the role declared.

A failed check goes back to the agent as the next message, a bounded number of times; only a result that
passes completes the task, and dependents wait for that.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from taskq.agent.conversation import Conversation
from taskq.agent.evidence import submission_schema
from taskq.agent.examine import examine, exhausted, report, rows
from taskq.agent.manifest import Manifest
from taskq.agent.run_check import run_command
from taskq.agent.tools import SUBMIT
from taskq.agent.workspace import Workspace, place_of
from taskq.durable import Done
from taskq.task import Task
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
        """A tool as the model hears of it; what it hands in has the schema that is checked."""
        offer = tool.offer()
        if tool.name == SUBMIT:
            offer["input_schema"] = submission_schema(self._manifest.evidence, offer["input_schema"])
        return offer

    async def report(self, submission: Any) -> str | None:
        """What the agent is told when its submission does not count; None when it does.

        :raises Fail: it was told so often enough.
        :raises Suspended: a reviewer is at it.
        """
        evidence = self._manifest.evidence
        if (evidence is None or evidence.schema is None) and (fault := self._fault(submission)):
            return fault
        if evidence is None:
            return None
        round = self._conversation.submissions
        checks = await examine(
            evidence,
            submission,
            objective=str(self._task.payload.get("objective") or self._task.name or self._task.role),
            root=self._workspace.directory if evidence.files else None,
            run=self._run,
            calls=await self._successes(),
            review=self._review,
            round=round,
        )
        await self._task.call("record_checks", round, rows(checks, self._conversation.redact))
        if all(check.passed for check in checks):
            return None
        if round >= evidence.rounds:
            raise exhausted(evidence, checks)
        return report(checks, left=evidence.rounds - round)

    def _fault(self, submission: Any) -> str | None:
        """What is wrong with the form of a submission; last words have none."""
        if self._submit is None or isinstance(submission, str):
            return None
        try:
            self._submit.check(submission)
        except ToolError as error:
            return str(error)
        return None

    async def _run(self, name: str) -> tuple[int, str]:
        ended = await run_command(self._manifest.commands[name], self._workspace)
        return ended.code, ended.output

    async def _successes(self) -> Counter[str]:
        return Counter(
            row["tool"] for row in await self._task.rows("tool_calls") if row["status"] == "success"
        )

    async def _review(self, role: str, payload: dict[str, Any], key: str) -> Done:
        payload = {**place_of(self._task.payload), **payload}
        [child] = await self._task.spawn([{"role": role, "name": "review", "payload": payload}], key=key)
        return child
