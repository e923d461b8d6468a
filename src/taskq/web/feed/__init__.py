"""What happens, to whoever listens: one poller of the database, a hub, streams of server-sent events."""

from taskq.web.feed.hub import Hub

__all__ = ["Hub"]
