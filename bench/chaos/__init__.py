"""chaos: agents in processes that kill themselves at every place between a turn and its effects.

Each run has a script of its own (a few turns with calls of every kind of tool) and is struck by SIGKILL once
to three times; then it is played to its end, and the database, the model's requests and the world outside are
looked at.  Beside it the same kills, moment for moment, of a loop without a ledger.
"""

from bench.chaos.campaign import Campaign, campaign, chaos

__all__ = ["Campaign", "campaign", "chaos"]
