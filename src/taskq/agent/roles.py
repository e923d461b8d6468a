"""From a directory of manifests to roles of an App."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from taskq.agent.claude import Claude
from taskq.agent.manifest import Manifest, ManifestError, load_all
from taskq.agent.player import House, Player, registry
from taskq.agent.prices import Prices
from taskq.agent.redaction import Redactor
from taskq.agent.tools import allowed
from taskq.app import App, Role
from taskq.errors import SettingsError
from taskq.settings import Settings, secrets

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
    settings: Settings | None = None,
) -> list[str]:
    """Add every role manifest of a directory to an App; they share one client of the Messages API.

    :param base_url: another address of the API, such as a `taskq.testing.FakeMessages`.
    :param simulated: the address is a fake; stamps every message and result.
    :param settings: where tasks have their own directories, and the price table; those of the environment.
    :returns: the names of the roles.
    :raises ManifestError: a manifest cannot be used.
    :raises SettingsError: no key was given, or the `agent` extra is not installed.
    """
    if not api_key:
        raise SettingsError(NO_KEY)
    if any(find_spec(name) is None for name in ("anthropic", "yaml", "jsonschema")):
        raise SettingsError("agents need the 'agent' extra: pip install 'taskq-pg[agent]'")
    settings = settings or Settings.read()
    house = House(
        claude=Claude(api_key, base_url=base_url, simulated=simulated),
        tools=app.tools,
        home=settings.home,
        prices=Prices.load(settings.prices),
        redactor=Redactor(secrets()),
    )
    manifests = load_all(directory)
    for manifest in manifests:
        app.add(role(manifest, house))
    return [manifest.name for manifest in manifests]


def role(manifest: Manifest, house: House) -> Role:
    """The role that plays a manifest.

    :raises ManifestError: it asks for a tool that is not there, or for evidence that it could never show.
    :raises UnknownPrice: the price table does not know a model, and the manifest does not allow that.
    """
    try:
        tools = allowed(manifest.tools, registry(manifest, house.tools), is_whole=not manifest.mcp)
    except LookupError as error:
        raise ManifestError(f"{manifest.name}.md: tools: {error.args[0]}") from error
    if manifest.evidence and (
        fault := manifest.evidence.fault([tool.name for tool in tools], manifest.commands)
    ):
        raise ManifestError(f"{manifest.name}.md: evidence: {fault}")
    if not manifest.allow_unpriced:
        for model in (manifest.model, *manifest.fallback):
            house.prices.price_of(model)
    return Role(
        name=manifest.name,
        handler=Player(manifest, house).play,
        timeout=manifest.timeout,
        max_attempts=manifest.max_attempts,
        backoff=manifest.backoff,
        description=manifest.description or None,
        repositories=manifest.repositories,
        model=manifest.model,
        kind="agent",
    )
