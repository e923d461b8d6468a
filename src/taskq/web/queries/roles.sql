-- What the page of roles and workers shows, by name.  Lengths of time are seconds.  Nothing here writes.

-- name: roles_page
-- One row: the roles that are declared, played or have work; the workers; the gates.
select
  (select coalesce(json_agg(x order by x.role), '[]') from (
     select coalesce(o.role::text, r.name) as role, coalesce(o.ready, 0) as ready, coalesce(o.scheduled, 0) as scheduled,
            coalesce(o.in_progress, 0) as in_progress, coalesce(o.blocked, 0) as blocked, coalesce(o.awaiting_approval, 0) as awaiting_approval,
            coalesce(o.slots, 0) as slots, coalesce(o.paused, false) as paused, extract(epoch from o.oldest_ready)::float8 as oldest_ready,
            r.description, r.kind, r.model, coalesce(r.repositories, '{}') as repositories, extract(epoch from r.timeout)::float8 as timeout, r.max_attempts,
            p.actor as paused_by, p.reason as paused_why, p.at as paused_at,
            array(select w.name from taskq.workers_live w where coalesce(o.role::text, r.name) = any(w.roles) and not w.draining order by w.name) as played_by,
            b.cost as budget, b.cost_used as budget_used, b.tokens as budget_tokens, b.tokens_used as budget_tokens_used, b.share as budget_share
     from taskq.overview o
     full join taskq.roles r on r.name = o.role
     left join taskq.role_pauses p on p.role = o.role
     left join taskq.spend b on b.scope = 'role' and b.key = coalesce(o.role::text, r.name)) x) as roles,
  (select coalesce(json_agg(x order by x.gone, x.name), '[]') from (
     select w.id, w.name, w.roles, w.concurrency, w.version, w.draining, w.trouble, w.started_at, w.heartbeat_at,
            l.id is null as gone, coalesce(l.running, 0) as running
     from taskq.workers w left join taskq.workers_live l on l.id = w.id) x) as workers,
  (select coalesce(json_agg(x order by x.provider, x.model <> '*', x.model), '[]') from (
     select g.provider, g.model, g.requests_per_minute, g.tokens_per_minute, g.set_by, g.reason, g.paused_until > now() as paused,
            case when isfinite(g.paused_until) then g.paused_until end as until
     from taskq.gates g) x) as gates

-- name: roles_of_a_day
-- By role, the last 24 hours: what ended and how, how long it took, why it failed, what the agents' turns cost.
with ended as materialized (
  select t.id, t.role, t.status, t.error_kind, extract(epoch from t.finished_at - t.started_at)::float8 as seconds
  from taskq.tasks t where t.finished_at > now() - interval '24 h' and t.status in ('completed', 'failed')),
kinds as materialized (select role, error_kind, count(*) as n from ended where status = 'failed' group by role, error_kind),
active as (
  select e.id, e.role from ended e join taskq.roles r on r.name = e.role and r.kind = 'agent'
  union all
  select t.id, t.role from taskq.tasks t join taskq.roles r on r.name = t.role and r.kind = 'agent'
  where t.status = 'in_progress' or (t.status <> 'queued' and t.lease is null and t.finished_at is null)),
costs as (
  select a.role, sum(m.cost)::float8 as cost, count(*) as turns
  from active a join taskq.messages m on m.task_id = a.id
  where m.role = 'assistant' and m.created_at > now() - interval '24 h' group by a.role)
select role::text, coalesce(e.completed, 0) as completed, coalesce(e.failed, 0) as failed, e.seconds_p50, c.cost, coalesce(c.turns, 0) as turns,
       (select coalesce(json_agg(json_build_array(k.error_kind, k.n) order by k.n desc, k.error_kind), '[]') from kinds k where k.role = x.role) as kinds
from (select role from ended union select role from costs) x
left join (
  select role, count(*) filter (where status = 'completed') as completed, count(*) filter (where status = 'failed') as failed,
         percentile_cont(0.5) within group (order by seconds) filter (where status = 'completed') as seconds_p50
  from ended group by role) e using (role)
left join costs c using (role)

-- name: pause_of
-- A role, and what a pause would hold back.
select coalesce(sum(o.ready), 0)::bigint as ready, coalesce(sum(o.scheduled), 0)::bigint as scheduled, coalesce(sum(o.in_progress), 0)::bigint as in_progress,
       count(o.role) > 0 or exists (select from taskq.roles r where r.name = $1) as is_known,
       (select p.actor from taskq.role_pauses p where p.role = $1) as paused_by,
       (select p.reason from taskq.role_pauses p where p.role = $1) as paused_why,
       (select p.at from taskq.role_pauses p where p.role = $1) as paused_at
from taskq.overview o where o.role = $1
