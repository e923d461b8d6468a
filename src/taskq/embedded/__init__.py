"""An own PostgreSQL in a directory: started by whoever comes first, stopped with its last user.

    async with await ensure(Settings.read()) as server:
        connection = await asyncpg.connect(server.dsn)

Who keeps what:

- a *user* is a process that holds a shared lock on `users.lock`; the kernel drops it when the process dies;
- the *supervisor* (`supervisor.py`, a small process of its own) is the parent of `postgres`.  It waits for
  the exclusive lock on `users.lock`, which it gets when no user is left, and then stops the server.  It
  starts `postgres` again when that dies while there are users;
- each user in turn notices the end of the supervisor (the end of a FIFO) and starts a new one.
"""

from taskq.embedded.server import Server, ensure

__all__ = ["Server", "ensure"]
