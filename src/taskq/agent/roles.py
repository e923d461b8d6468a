"""From a directory of manifests to roles of an App."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from taskq.agent.claude import Claude
from taskq.agent.loop import run
from taskq.agent.manifest import Manifest, ManifestError, load_all
from taskq.agent.tools import allowed
from taskq.app import App, Role
from taskq.errors import SettingsError
from taskq.settings import Settings
from taskq.task import Task

NO_KEY = (
    "ANTHROPIC_API_KEY is not set, and agents need it. Set it, or run with --offline to play all agents"
    " with a simulated model on this machine."
)


def require_key(settings: Settings) -> str:
    """The key for the Messages API.

    :raises SettingsError: it is not set; the message names the ways out.
    """
    if not settings.anthropic_api_key:
        raise SettingsError(NO_KEY)
    return settings.anthropic_api_key


def add_agents(
    app: App,
    directory: Path | str,
    *,
    api_key: str | None,
    base_url: str | None = None,
    simulated: bool = False,
) -> list[str]:
    """Add every role manifest of a directory to an App; they share one client of the Messages API.

    :param base_url: another address of the API, such as a `taskq.testing.FakeMessages`.
    :param simulated: the address is a fake; stamps every message and result.
    :returns: the names of the roles.
    :raises ManifestError: a manifest cannot be used.
    :raises SettingsError: no key was given, or the `agent` extra is not installed.
    """
    if not api_key:
        raise SettingsError(NO_KEY)
    if any(find_spec(name) is None for name in ("anthropic", "yaml", "jsonschema")):
        raise SettingsError("agents need the 'agent' extra: pip install 'taskq-pg[agent]'")
    claude = Claude(api_key, base_url=base_url, simulated=simulated)
    manifests = load_all(directory)
    for manifest in manifests:
        app.add(role(manifest, claude))
    return [manifest.name for manifest in manifests]


def role(manifest: Manifest, claude: Claude) -> Role:
    """The role that plays a manifest with a client.

    :raises ManifestError: a glob of its tools matches no tool.
    """
    try:
        tools = [tool.name for tool in allowed(manifest.tools)]
    except LookupError as error:
        raise ManifestError(f"{manifest.name}.md: tools: {error.args[0]}") from error
    if manifest.evidence and (fault := manifest.evidence.fault(tools, ())):
        raise ManifestError(f"{manifest.name}.md: evidence: {fault}")
    return Role(
        name=manifest.name,
        handler=player(manifest, claude),
        timeout=manifest.timeout,
        max_attempts=manifest.max_attempts,
        description=manifest.description or None,
    )


def player(manifest: Manifest, claude: Claude) -> Callable[[Task], Awaitable[dict[str, Any]]]:
    """The handler that plays a manifest with a client."""

    async def play(task: Task) -> dict[str, Any]:
        return await run(task, manifest, claude)

    return play
