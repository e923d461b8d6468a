"""Alembic's way in.  `taskq migrate` hands over a connection with the lock taken; see taskq.schema."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema="taskq",
    transactional_ddl=True,
)
context.run_migrations()
