"""Agents as roles: a manifest says who, the loop does the rest.

    app = App()
    add_agents(app, "roles", api_key=require_key(settings))

Nothing here imports the SDK until the first task of an agent runs.
"""

from taskq.agent.claude import Claude
from taskq.agent.failures import Exhausted, Overloaded, RateLimited, Unavailable
from taskq.agent.manifest import Manifest, ManifestError, load_all
from taskq.agent.player import House, Player
from taskq.agent.prices import Prices, UnknownPrice
from taskq.agent.roles import add_agents, require_key, role

__all__ = [
    "Claude",
    "Exhausted",
    "House",
    "Manifest",
    "ManifestError",
    "Overloaded",
    "Player",
    "Prices",
    "RateLimited",
    "Unavailable",
    "UnknownPrice",
    "add_agents",
    "load_all",
    "require_key",
    "role",
]
