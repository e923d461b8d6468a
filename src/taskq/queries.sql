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
select seq, role, body, stop_reason, model, usage, simulated, attempt, request_id, cost::float8 as cost from taskq.messages where task_id = $1 order by seq

-- name: begin_turn
select verdict, model, seconds, reason from taskq.begin_turn($1, $2, $3, $4, $5, $6, $7, $8)

-- name: hold_back
select taskq.hold_back($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: learn_limits
select taskq.learn_limits($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: append_turn
select taskq.append_turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)

-- name: adopt_policy
select taskq.adopt_policy($1, $2, $3, $4)

-- name: declare_budgets
select case when $4::jsonb is not null then taskq.declare_budget($2, $4) end,
       case when $5::jsonb is not null then taskq.declare_daily_budget((select role from taskq.tasks where id = $2), $5) end
where $1::uuid is not null and $3::bigint is not null

-- name: tool_calls
-- the attempt's id and lease are not asked for: reading needs no lease
-- looked_at_by: who approved the task after the call began
select c.call_id, c.turn, c.tool, c.effect, c.status, c.attempt, c.approved_by, c.amended_input,
       (select e.actor from taskq.events e where e.task_id = c.task_id and e.verb = 'approve' and e.at > c.started_at
        order by e.id desc limit 1) as looked_at_by
from taskq.tool_calls c
where c.task_id = $2 and $1::uuid is not null and $3::bigint is not null order by c.turn, c.place

-- name: steers_to_come
select id, text, actor from taskq.steers
where task_id = $2 and done_at is null and verb = 'say' and $1::uuid is not null and $3::bigint is not null order by id

-- name: was_let_go
-- whether a person approved the task since its last message
select exists (select from taskq.events e where e.task_id = $2 and e.verb = 'approve' and $1::uuid is not null and $3::bigint is not null
               and e.at > (select max(m.created_at) from taskq.messages m where m.task_id = $2))

-- name: intend
select verdict, reason from taskq.intend($1, $2, $3, $4, $5)

-- name: settle_call
select taskq.settle_call($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: park
select taskq.park($1, $2, $3, $4)::text

-- name: steer
select taskq.steer($1, $2, $3)

-- name: pause
select taskq.pause($1, $2, $3)

-- name: recall
select name, kind, result from taskq.recall($1, $2, $3)

-- name: record_step
select taskq.record_step($1, $2, $3, $4, $5)

-- name: sleep
select taskq.sleep($1, $2, $3, $4, $5)

-- name: await_signal
select outcome, payload from taskq.await_signal($1, $2, $3, $4, $5)

-- name: spawn_ahead
select children from taskq.spawn($1, $2, $3, $4, cast($5 as text)::jsonb, false)

-- name: spawn
select children, waits from taskq.spawn($1, $2, $3, $4, cast($5 as text)::jsonb)

-- name: outcomes
select id, status::text, result, error_kind, error from taskq.outcomes($1, $2, $3, $4)

-- name: signal
select taskq.signal($1, $2, $3, $4)

-- name: fork
select taskq.fork($1, $2, $3)

-- name: record_checks
select taskq.record_checks($1, $2, $3, $4, $5)

-- name: cancel
select taskq.cancel($1, $2, $3)::text

-- name: retry
select taskq.retry($1, $2, $3)::text

-- name: set_budget
select taskq.set_budget($1, $2, $3, $4)

-- name: set_gate
select taskq.set_gate($1, $2, $3, $4, $5)

-- name: resume_gate
select taskq.resume_gate($1, $2, $3)

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

-- name: amend
select taskq.amend($1, $2, $3, $4)::text

-- name: decline_call
select taskq.decline_call($1, $2, $3)::text

-- name: amend_call
select taskq.amend_call($1, $2, $3, $4)::text

-- name: check_tasks
select id, role, status::text, note from taskq.check_tasks(cast($1 as text)::jsonb)

-- name: dispatch
select role, ready, scheduled, blocked, awaiting_approval, workers, slots, paused, rung, why from taskq.dispatch()

-- name: pause_role
select taskq.pause_role($1, $2, $3)

-- name: resume_role
select taskq.resume_role($1, $2, $3)

-- name: save_template
select taskq.save_template($1, cast($2 as text)::jsonb, $3)

-- name: drop_template
select taskq.drop_template($1)

-- name: create_token
select taskq.create_token($1, $2, $3, $4, $5)

-- name: revoke_token
select taskq.revoke_token($1, $2)

-- name: tokens
select id, name, scopes, created_by, created_at, expires_at, last_used_at, revoked_at, revoked_by
from taskq.tokens order by created_at desc, id desc

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

-- name: save_template
select taskq.save_template($1, cast($2 as text)::jsonb, $3)

-- name: drop_template
select taskq.drop_template($1)
