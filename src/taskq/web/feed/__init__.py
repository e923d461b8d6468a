"""What happens, to whoever listens.

look     what happened since the last look      states   what is otherwise than it was
poller   looks once a second                    ring     what was told lately
pacer    lets pages fetch themselves again      topics   which pages show what
hub      who listens                            event    what is told
live     GET /live                              sse      how it is written

The way of success writes no events, and nothing is written because somebody watches: what happened is found,
by time, in what is there.
"""

from taskq.web.feed.hub import Hub

__all__ = ["Hub"]
