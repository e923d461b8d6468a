-- taskq: the reading order.  `psql -v ON_ERROR_STOP=1 -1 -f sql/install.sql` installs it all;
-- `taskq migrate` does the same through numbered revisions.

-- structure: changed only by revisions in alembic/versions
\ir states.sql
\ir tables.sql
\ir agent_tables.sql
\ir control_tables.sql

-- the revision that these tables are, so that `taskq migrate` can go on from here
create table taskq.alembic_version (version_num varchar(32) not null constraint alembic_version_pkc primary key);
insert into taskq.alembic_version values ('0003');

-- logic: laid again after every upgrade
\ir guard.sql
\ir bell.sql
\ir pauses.sql
\ir dependencies.sql
\ir enqueue.sql
\ir lifecycle.sql
\ir exchange.sql
\ir operate.sql
\ir gate.sql
\ir budgets.sql
\ir turns.sql
\ir tools.sql
\ir evidence.sql
\ir steps.sql
\ir children.sql
\ir maintenance.sql
\ir explain.sql
\ir control.sql
\ir access_tokens.sql
\ir templates.sql
\ir views.sql
\ir dispatch.sql
\ir dry_run.sql
\ir access.sql
