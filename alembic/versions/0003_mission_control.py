"""Mission Control: tokens, sessions, pauses of roles, templates; what people changed in calls."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    text = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().connection.dbapi_connection.run_async(lambda connection: connection.execute(text))


def downgrade() -> None:
    op.execute("drop index taskq.finishes, taskq.events_by_time, taskq.calls_by_time")
    op.execute("alter table taskq.events drop column role")
    op.execute(
        "alter table taskq.tool_calls drop column declined_by, drop column declined_note, "
        "drop column amended_input"
    )
    op.execute("alter table taskq.roles drop column repositories, drop column model, drop column kind")
    op.execute("drop table taskq.templates, taskq.role_pauses, taskq.sessions, taskq.tokens")
