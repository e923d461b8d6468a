-- What waits, and what should not, by name: at most $2 behind the id $1, oldest id first; why is asked of those alone.

-- name: blocked_tasks
select t.id, t.role, t.name, t.status::text, t.mission_id, t.created_at as since, taskq.explain(t.id) as why
from (select * from taskq.tasks t
      where t.status <> 'queued' and t.lease is null and t.finished_at is null and t.status = 'blocked' and ($1::uuid is null or t.id > $1)
      order by t.id limit $2) t
order by t.id

-- name: stale_tasks
select t.id, t.role, t.name, t.status::text, t.mission_id, greatest(t.run_at, '0001-01-02') as since, taskq.explain(t.id) as why
from (select * from taskq.tasks t
      where t.status = 'queued' and t.run_at < now() - interval '5 min' and ($1::uuid is null or t.id > $1)
      order by t.id limit $2) t
order by t.id

-- name: stuck_tasks
select t.id, t.role, t.name, t.status::text, t.mission_id, t.started_at as since, s.why
from taskq.stuck s join taskq.tasks t on t.id = s.id
where $1::uuid is null or t.id > $1
order by t.id limit $2

-- name: orphaned_tasks
select t.id, t.role, t.name, t.status::text, t.mission_id,
       case t.status when 'queued' then greatest(least(t.run_at, '9999-12-30'), '0001-01-02') else t.heartbeat_at end as since, o.why
from taskq.orphaned o join taskq.tasks t on t.id = o.id
where $1::uuid is null or t.id > $1
order by t.id limit $2

-- name: retryable_tasks
-- What failed by itself: a retry revives what fell with it, too.  The newest first.
select t.id, t.role, t.name, t.status::text, t.mission_id, t.finished_at as since, taskq.explain(t.id) as why
from (select * from taskq.tasks t
      where t.status = 'failed' and t.error_kind <> 'dependency_failed' and ($1::uuid is null or t.id < $1)
      order by t.id desc limit $2) t
order by t.id desc
