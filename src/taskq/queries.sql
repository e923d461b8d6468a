-- The statements that Python sends, by name.  None changes a status: those are functions in sql/.

-- name: enqueue
select taskq.enqueue(cast($1 as text)::jsonb)   -- on connections of callers too, who have jsonb in codecs of their own

-- name: exchange
select kind, id, lease, role, payload, attempt, priority, run_at, max_attempts, timeout, name,
       mission_id, parent_id, created_by, traceparent, parents, due_in
from taskq.exchange($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

-- name: doze
select taskq.doze($1)

-- name: heartbeat
select lease, verdict from taskq.heartbeat($1, $2, $3, $4, $5)

-- name: watch
select taskq.watch($1)

-- name: register
select taskq.register($1, $2, $3, $4, $5, $6, $7)

-- name: disown
select taskq.disown($1, $2)

-- name: declare_roles
select taskq.declare_roles($1)

-- name: retire
select taskq.retire($1)

-- name: fail
select taskq.fail($1, $2, $3, $4, $5, $6, $7, $8)::text

-- name: release
select taskq.release($1, $2, $3)

-- name: stop
select taskq.stop($1, $2, $3)::text

-- name: progress
select taskq.progress($1, $2, $3, $4, $5)

-- name: log
select taskq.log($1, $2, $3, $4)

-- name: messages
select seq, role, body, stop_reason, model, usage, simulated, attempt from taskq.messages where task_id = $1 order by seq

-- name: append_message
select taskq.append_message($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: record_checks
select taskq.record_checks($1, $2, $3, $4, $5)

-- name: cancel
select taskq.cancel($1, $2, $3)::text

-- name: retry
select taskq.retry($1, $2, $3)::text

-- name: requeue
select taskq.requeue($1, $2, $3)::text

-- name: rerun
select taskq.rerun($1, $2, $3)

-- name: approve
select taskq.approve($1, $2, $3)::text

-- name: reject
select taskq.reject($1, $2, $3)::text

-- name: complete
select taskq.complete($1, $2, $3, $4)::text

-- name: explain
select taskq.explain($1)

-- name: tend
select taskq.tend()

-- name: await
select status::text, result, error_kind, error from taskq.await($1)

-- name: outcome
select status::text, result, error_kind, error from taskq.tasks where id = $1

-- name: show
select * from taskq.tasks where id = $1

-- name: revision
select version_num from taskq.alembic_version

-- name: laid
select digest from taskq.laid

-- name: lay
with gone as (delete from taskq.laid) insert into taskq.laid (digest) values ($1) on conflict (digest) do update set at = now()

-- name: make_schema
create schema if not exists taskq

-- name: drop_schema
drop schema taskq cascade

-- name: lock_migrations
select pg_advisory_xact_lock(7731, 1)
