"""The way to Postgres: the only place that knows asyncpg.

`Connection` is one session with named statements and LISTEN; `Pool` lends them out; `join` runs a statement
on somebody else's connection, inside his transaction.
"""

from taskq.database.connection import Connection, Listener, Pool, Transaction, connect, raw_connect
from taskq.database.joining import join
from taskq.database.queries import QUERIES, read_queries
from taskq.database.refusals import refused

__all__ = [
    "QUERIES",
    "Connection",
    "Listener",
    "Pool",
    "Transaction",
    "connect",
    "join",
    "raw_connect",
    "read_queries",
    "refused",
]
