-- Figures: how much, how fast, how well.

-- name: throughput
-- For each bucket of $2 in the last $1: when it begins, what was completed and what failed, how long the line was waited in
-- (p50, p95) and how long an attempt took (p50), in seconds.  Whole buckets, but for the last one; also those in which nothing ended.
select b.at, coalesce(e.completed, 0) as completed, coalesce(e.failed, 0) as failed, e.wait_p50, e.wait_p95, e.seconds_p50
from generate_series(date_bin($2::interval, now() - $1::interval, 'epoch') + $2::interval, now(), $2::interval) b (at)
left join (
  select t.at, count(*) filter (where t.status = 'completed') as completed, count(*) filter (where t.status = 'failed') as failed,
         percentile_cont(0.5) within group (order by t.waited) as wait_p50, percentile_cont(0.95) within group (order by t.waited) as wait_p95,
         percentile_cont(0.5) within group (order by t.took) filter (where t.status = 'completed') as seconds_p50
  from (select t.status, date_bin($2::interval, t.finished_at, 'epoch') as at,
               date_part('epoch', t.started_at - greatest(t.run_at, t.created_at)) as waited, date_part('epoch', t.finished_at - t.started_at) as took
        from taskq.tasks t
        where t.finished_at > now() - $1::interval and t.status in ('completed', 'failed')) t
  group by t.at) e using (at)
order by b.at

-- name: figures
-- What ended in the last $1, in all (role and hour are null), by role, and by hour: how much, how well, how long it waited in the
-- line and how long its last attempt took (p50, p95, p99), in seconds.
select t.role, t.hour, grouping(t.role) = 1 and grouping(t.hour) = 1 as is_all,
       count(*) filter (where t.status = 'completed') as completed, count(*) filter (where t.status = 'failed') as failed,
       count(*) filter (where t.status = 'cancelled') as cancelled,
       percentile_cont('{0.5,0.95,0.99}'::float8[]) within group (order by t.waited) as waited,
       percentile_cont('{0.5,0.95,0.99}'::float8[]) within group (order by t.took) as took
from (select t.role::text, t.status, date_trunc('hour', t.finished_at) as hour,
             date_part('epoch', t.started_at - greatest(t.run_at, t.created_at)) as waited, date_part('epoch', t.finished_at - t.started_at) as took
      from taskq.tasks t
      where t.finished_at > now() - $1::interval) t
group by grouping sets ((), (t.role), (t.hour))
order by is_all desc, t.role, t.hour

-- name: errors_by_kind
-- The attempts that did not succeed in the last $1, by role and kind.  Each has an event, and those are found by time.
select t.role::text, a.kind::text, count(*) as attempts
from (select distinct e.task_id from taskq.events e where e.at > now() - $1::interval and e.verb in ('fail', 'retry', 'reap', 'cancel')) e
join taskq.tasks t on t.id = e.task_id
join taskq.attempts a on a.task_id = t.id and a.finished_at > now() - $1::interval
group by t.role, a.kind
order by attempts desc, t.role, a.kind

-- name: load
-- What there is now, by role.
select o.role::text, o.ready, o.scheduled, o.in_progress, o.blocked, o.awaiting_approval, o.workers, o.slots, o.paused,
       coalesce(date_part('epoch', o.oldest_ready), 0) as oldest_ready,
       coalesce(l.stale, 0) as stale, coalesce(s.stuck, 0) as stuck, s.oldest_heartbeat
from taskq.overview o
left join (select q.role, count(*) as stale from taskq.tasks q
           where q.status = 'queued' and q.run_at < now() - interval '5 min' group by q.role) l on l.role = o.role
left join (select t.role, count(*) filter (where t.heartbeat_at < now() - interval '10 min') as stuck,
                  date_part('epoch', now() - min(t.heartbeat_at)) as oldest_heartbeat
           from taskq.tasks t where t.status = 'in_progress' group by t.role) s on s.role = o.role
order by o.role

-- name: orchestration
-- Whether all is well, in one row.
select now() as at,
       (select count(*) from taskq.workers_live) as workers,
       (select coalesce(sum(w.concurrency), 0) from taskq.workers_live w where not w.draining) as slots,
       (select coalesce(json_agg(json_build_object('name', w.name, 'what', w.trouble) order by w.name), '[]')
        from taskq.workers_live w where w.trouble is not null) as trouble,
       (select coalesce(json_agg(json_build_object('role', p.role, 'actor', p.actor, 'reason', p.reason, 'at', p.at) order by p.role), '[]')
        from taskq.role_pauses p) as paused,
       (select coalesce(json_agg(json_build_object('name', g.provider || '/' || g.model, 'reason', g.reason,
                                                   'seconds', case when g.paused_until < 'infinity' then date_part('epoch', g.paused_until - now()) end)
                                 order by g.provider, g.model), '[]')
        from taskq.gates g where g.paused_until > now()) as gates,
       (select count(*) from taskq.stuck) as stuck,
       (select count(*) from taskq.orphaned o where o.status = 'in_progress') as orphaned,
       (select count(*) from taskq.tasks t where t.status = 'failed' and t.finished_at > now() - interval '1 hour') as failed_1h,
       current_setting('server_version') as postgres,
       (select version_num from taskq.alembic_version) as revision

-- name: standing
select (select version_num from taskq.alembic_version) as revision, (select digest from taskq.laid) as laid
