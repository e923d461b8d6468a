-- What the overview shows, by name.  Lengths of time are seconds.

-- name: overview
-- One row: all of the page but the curves, which cost more and change less.
select
  (select coalesce(json_agg(x order by x.role), '[]') from (
     select o.role, o.ready, o.scheduled, o.in_progress, o.blocked, o.awaiting_approval, o.failed_24h, o.workers, o.slots, o.paused,
            extract(epoch from o.oldest_ready)::float8 as oldest_ready, r.description, p.actor as paused_by, p.reason as paused_why, p.at as paused_at
     from taskq.overview o left join taskq.roles r on r.name = o.role left join taskq.role_pauses p on p.role = o.role) x) as roles,
  (select coalesce(json_agg(x order by x.started_at), '[]') from (
     select t.id, t.role, t.name, t.attempt, t.max_attempts, t.progress, t.progress_note, t.started_at, t.cancel_requested_at,
            w.name as worker, m.id as mission_id, coalesce(m.name, m.role) as mission
     from (select * from taskq.tasks where status = 'in_progress' order by started_at limit 12) t
     left join taskq.workers w on w.id = t.worker_id
     left join taskq.tasks m on m.id = t.mission_id and m.id <> t.id) x) as running,
  (select coalesce(json_agg(x order by x.created_at), '[]') from (
     select t.id, t.role, t.name, t.created_at, taskq.line(taskq.why_parked(t.id)) as why
     from taskq.tasks t
     where t.status = 'awaiting_approval' and t.status <> 'queued' and t.lease is null and t.finished_at is null
     order by t.created_at limit 6) x) as awaiting,
  (select coalesce(json_agg(x order by x.created_at), '[]') from (
     select t.id, t.role, t.name, t.created_at, t.waiting_on, d.id as for_id, coalesce(d.name, d.role) as for_name, d.status as for_status
     from (select * from taskq.tasks
           where status = 'blocked' and status <> 'queued' and lease is null and finished_at is null
           order by created_at limit 6) t
     left join lateral (
       select p.id, p.name, p.role, p.status
       from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on
       where d.task_id = t.id and not d.met and p.status <> 'completed'
       order by p.status in ('failed', 'cancelled') desc, p.status = 'in_progress' desc, p.id limit 1) d on true) x) as blocked,
  (select coalesce(json_agg(x), '[]') from (select s.id, s.role, s.name, s.why from taskq.stuck s limit 5) x) as stuck,
  (select count(*) from taskq.orphaned where status = 'in_progress') as orphaned,
  (select coalesce(json_agg(x order by x.name), '[]') from (
     select w.name, w.trouble, w.concurrency, w.running, w.draining from taskq.workers_live w) x) as workers,
  (select coalesce(json_agg(x order by x.provider, x.model), '[]') from (
     select g.provider, g.model, g.reason, case when isfinite(g.paused_until) then g.paused_until end as until
     from taskq.gates g where g.paused_until > now()) x) as gates,
  (select coalesce(json_agg(x order by x.created_at), '[]') from (
     select t.id, t.name, t.created_at, t.payload ->> 'text' as text
     from taskq.tasks t where t.status = 'queued' and t.role = 'alert' order by t.run_at limit 5) x) as alerts
