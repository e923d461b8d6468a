"""Durable agents: tool calls, policies, steers, steps, signals, gates, budgets, checks."""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    text = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().connection.dbapi_connection.run_async(lambda connection: connection.execute(text))


def downgrade() -> None:
    op.execute(
        "drop table taskq.checks, taskq.clocks, taskq.reservations, taskq.budgets, taskq.gates, "
        "taskq.signals, taskq.steps, taskq.steers, taskq.policies, taskq.tool_calls"
    )
    op.execute("drop domain taskq.effect")
    op.execute("alter table taskq.messages drop column request_id, drop column cost")
