-- Roles, workers and templates, by name.  Lengths of time are seconds.

-- name: role_rows
select o.role, r.description, r.kind, r.model, coalesce(r.repositories, '{}') as repositories,
       date_part('epoch', r.timeout) as timeout, r.max_attempts,
       o.ready, o.scheduled, o.in_progress, o.blocked, o.awaiting_approval, o.failed_24h, o.workers, o.slots,
       date_part('epoch', o.oldest_ready) as oldest_ready, o.paused, p.actor as paused_by, p.reason as paused_reason, p.at as paused_at,
       array(select w.name from taskq.workers_live w where o.role = any(w.roles) and not w.draining order by w.name limit 100) as played_by
from taskq.overview o left join taskq.roles r on r.name = o.role left join taskq.role_pauses p on p.role = o.role
order by o.role limit 5000

-- name: worker_rows
select w.id, w.name, w.roles, w.concurrency, w.version, w.draining, w.trouble, w.started_at, w.heartbeat_at, w.running
from taskq.workers_live w order by w.name, w.id limit 5000

-- name: kept_templates
select t.name, t.task::text as task, t.created_by, t.updated_at from taskq.templates t order by t.name limit 1000

-- name: kept_template
select t.name, t.task::text as task, t.created_by, t.updated_at from taskq.templates t where t.name = $1
