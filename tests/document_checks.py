"""A check for schemathesis, in the place of its own `positive_data_acceptance`.

What the document allows is refused for a reason only that no document can give: whether a cursor is one of
ours, and whether there is the task that another names, are things that only the server knows.
"""

from __future__ import annotations

import re

import schemathesis
from schemathesis import Case, CheckContext, Response

ACCEPTED = {401, 404, 409}
KNOWN_TO_THE_SERVER_ALONE = re.compile(
    r"^(cursor|(tasks\[\d*\]\.)?(id|depends_on(\[\d+\])?|mission_id|parent_id|dedup_key)|ids|filter)$"
)
INTEGER = "Expected `int"
"""1.0 is an integer to JSON Schema; whoever means one writes 1."""


@schemathesis.check
def what_is_allowed_is_accepted(ctx: CheckContext, response: Response, case: Case) -> None:
    """Valid data is accepted, or refused by a problem that names a field of those."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code < 400 or response.status_code in ACCEPTED:
        return
    assert response.status_code == 422, f"{response.status_code} for valid data"
    errors = response.json().get("errors")
    assert errors, f"the problem names no field: {response.text}"
    for error in errors:
        is_integer = error["message"].startswith(INTEGER) and error["message"].endswith("`float`")
        assert is_integer or KNOWN_TO_THE_SERVER_ALONE.match(error["field"]), error
