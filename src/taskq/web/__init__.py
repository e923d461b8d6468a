"""Mission Control: the page where people watch and act, and the HTTP API behind it.

    app         the application      house    what it works with
    server      the process          reads    reading, shared by all who look
    operations  the API's table      openapi  the document of it
    problems    errors, as answers   render   pages from templates
    access/     who may do what      feed/    what happens, to whoever listens
    api/        the operations       pages/   the pages
    templates/  static/              queries/ what is read

    nodes, paths, gantt  a mission   talk, said, words  what was said, and how it is shown

It runs no tasks, and holds nothing that must not be lost: kill it and start it again.
"""

from taskq.web.app import create_app
from taskq.web.house import House
from taskq.web.server import Address, serve

__all__ = ["Address", "House", "create_app", "serve"]
