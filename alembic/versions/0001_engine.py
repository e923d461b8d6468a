"""The engine: tasks, dependencies, workers, attempts, events, messages."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    text = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.get_bind().connection.dbapi_connection.run_async(lambda connection: connection.execute(text))


def downgrade() -> None:
    op.execute(
        "drop table taskq.messages, taskq.logs, taskq.events, taskq.attempts, taskq.sleepers, taskq.workers, "
        "taskq.roles, taskq.dependencies, taskq.tasks, taskq.laid, taskq.arrows"
    )
    op.execute("drop sequence taskq.lease_numbers")
    op.execute("drop function taskq.uuid7()")
    op.execute(
        "drop domain taskq.error_kind, taskq.role_name, taskq.object, taskq.failure_policy, "
        "taskq.attempts_allowed, taskq.time_allowed, taskq.fraction, taskq.left_to_come"
    )
    op.execute("drop type taskq.status")
