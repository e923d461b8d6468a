"""A new mission, as it is typed.

offers    the roles, repositories and templates that the form offers
draft     the form: what concerns the mission, and one part a task
reading   from a part to a task as the API takes it, or to what is wrong with it
templates from saved missions to the form
sending   the dry run, and putting it in
"""

from taskq.web.drafts.draft import Draft
from taskq.web.drafts.offers import Offers, find_offers
from taskq.web.drafts.reading import graph_of, limits_of
from taskq.web.drafts.sending import check, send
from taskq.web.drafts.templates import draft_of, template_of

__all__ = [
    "Draft",
    "Offers",
    "check",
    "draft_of",
    "find_offers",
    "graph_of",
    "limits_of",
    "send",
    "template_of",
]
