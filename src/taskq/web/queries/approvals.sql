-- What awaits a person, by name.  Nothing here writes.

-- name: inbox
-- Oldest first: what awaits approval, and queued tasks of roles that no worker ever played ($1 role, $2 mission or null, $3 most).
-- The predicates of the first are those of the index waiting_tasks; the roles of the second are found by skipping along the ready index.
with recursive queued (role) as (
  (select t.role::text from taskq.tasks t where t.status = 'queued' order by t.role limit 1)
  union all
  select (select t.role::text from taskq.tasks t where t.status = 'queued' and t.role > q.role order by t.role limit 1)
  from queued q where q.role is not null),
personal as (
  select q.role from queued q
  where q.role is not null
    and not exists (select from taskq.roles r where r.name = q.role)
    and not exists (select from taskq.workers_live w where q.role = any(w.roles))),
asked as (
  select t.id, t.role, t.mission_id, coalesce(t.heartbeat_at, t.run_at) as since   -- a parked one was running until then
  from taskq.tasks t
  where t.status = 'awaiting_approval' and t.status <> 'queued' and t.lease is null and t.finished_at is null
  union all
  select t.*
  from personal p cross join lateral (
    select o.id, o.role, o.mission_id, o.run_at from taskq.tasks o
    where o.status = 'queued' and o.role = p.role and o.run_at <= clock_timestamp() and o.started_at is null
    order by o.priority desc, o.run_at limit 500) t),
chosen as (
  select a.id, a.since, count(*) over () as total from asked a
  where ($1::text is null or a.role = $1) and ($2::uuid is null or a.mission_id = $2)
  order by a.since, a.id limit $3)
select t.id, t.role, t.name, t.status, t.payload, t.attempt, t.max_attempts, t.started_at, t.mission_id, t.created_by, chosen.since, chosen.total,
       coalesce(m.name, m.role) as mission, false as is_later, null as worker, '' as explain, true as is_agent,
       taskq.why_parked(t.id) as why_parked,
       c.call_id, c.tool, c.effect, c.input, c.status as call_status,
       c.needs_approval and c.approved_by is null and c.declined_by is null as asks,
       (select l.body from taskq.messages l
        where l.task_id = t.id and l.role = 'assistant' and (c.turn is null or l.seq = c.turn) order by l.seq desc limit 1) as said,
       (select coalesce(json_agg(d), '[]') from (
          select p.id, p.role, p.name, p.status, left(p.result::text, 4000) as result
          from taskq.dependencies e join taskq.tasks p on p.id = e.depends_on
          where e.task_id = t.id order by p.finished_at, p.id limit 10) d) as parents,
       (select coalesce(json_agg(d), '[]') from (
          select f.id, f.role, f.name, f.status
          from (select e.task_id from taskq.dependencies e where e.depends_on = t.id and not e.met limit 200) e
            join taskq.tasks f on f.id = e.task_id
          where f.status = 'blocked' order by f.created_at, f.id limit 6) d) as next,
       (with recursive doomed (id) as (
          select unnest(case when t.started_at is not null then taskq.brood(t.id) else '{}' end || t.id)
          union
          select f.id from doomed d
            cross join lateral (select e.task_id from taskq.dependencies e
                                where e.depends_on = d.id and e.on_failure = 'fail' and not e.met offset 0) e
            cross join lateral (select o.id from taskq.tasks o where o.id = e.task_id and o.status = 'blocked' offset 0) f)
        select count(*) - 1 from (select id from doomed limit 201) d) as falls,
       (select json_build_object('roles', coalesce((select json_agg(distinct a.role) from asked a), '[]'),
                                 'missions', coalesce((
          select json_agg(json_build_object('id', r.id, 'name', coalesce(r.name, r.role)) order by r.id)
          from taskq.tasks r where r.id in (select a.mission_id from asked a where a.mission_id <> a.id limit 100)), '[]'))) as filters
from chosen join taskq.tasks t using (id)
  left join taskq.tasks m on m.id = t.mission_id
  left join lateral (
    select o.* from taskq.tool_calls o
    where o.task_id = t.id and o.finished_at is null and t.status = 'awaiting_approval'
    order by o.turn, o.place limit 1) c on true
order by chosen.since, t.id

-- name: outcome
-- What somebody did to a task last.
select t.id, t.role, t.name, t.status, e.verb, e.actor, e.at
from taskq.tasks t left join lateral (
  select * from taskq.events o where o.task_id = t.id order by o.id desc limit 1) e on true
where t.id = $1
