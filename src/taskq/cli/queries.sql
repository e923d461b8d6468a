-- What only the command line reads, by name.  Nothing here writes.

-- name: find
-- Ids that begin or end with these hex digits.  The beginning is a range of the primary key.  The end is looked for
-- among the newest 500,000 ids of version 7, which lie below that of this moment, and as many of those above it.
(select t.id from taskq.tasks t where t.id between $2 and $3 order by t.id desc limit 6)
union
(select n.id
 from (select t.id from taskq.tasks t where t.id <= (select taskq.uuid7()) order by t.id desc limit 500000) n
 where right(encode(uuid_send(n.id), 'hex'), length($1::text)) = $1 limit 6)
union
(select n.id
 from (select t.id from taskq.tasks t where t.id > (select taskq.uuid7()) order by t.id limit 500000) n
 where right(encode(uuid_send(n.id), 'hex'), length($1::text)) = $1 limit 6)
limit 6

-- name: new_ids
select taskq.uuid7() from generate_series(1, $1)

-- name: server
select current_setting('server_version') as version, current_setting('server_version_num')::integer as number,
       current_database() as database, session_user as "user", clock_timestamp() as now

-- name: notify
select pg_notify($1, $2)

-- name: runnable_but_unmet
select count(distinct t.id)
from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on join taskq.tasks t on t.id = d.task_id
where not d.met and d.on_failure <> 'run' and p.status <> 'completed'
  and t.status in ('queued', 'awaiting_approval', 'in_progress')

-- name: miscounted
select count(*)
from taskq.tasks t
left join (select d.task_id, count(*) as unmet
           from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on
           where not d.met and p.status <> 'completed' and not (d.on_failure = 'run' and p.status in ('failed', 'cancelled'))
           group by d.task_id) e on e.task_id = t.id
left join (select s.task_id, count(*) as unmet
           from taskq.steps s left join taskq.signals g using (task_id, name)
           where s.kind = 'signal' and s.done_at is null and s.wake_at is null and g.name is null
           group by s.task_id) w on w.task_id = t.id
where t.status = 'blocked' and (t.waiting_on <> coalesce(e.unmet, 0) + coalesce(w.unmet, 0) or t.waiting_on = 0)

-- name: leases_of_nobody
select count(*) from taskq.tasks t where t.status = 'in_progress' and (t.worker_id is null or t.lease_expires_at is null)
