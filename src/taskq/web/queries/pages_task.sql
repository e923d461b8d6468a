-- What the page of a task reads, by name.

-- name: page_task
-- All there is to know of a task ($1) but its conversation, in one row; of each list the last ones.
with recursive above (id, parent_id, n) as (
  select t.id, t.parent_id, 0 from taskq.tasks t where t.id = $1
  union all
  select t.id, t.parent_id, a.n + 1 from above a join taskq.tasks t on t.id = a.parent_id where a.n < 20)
select t.*, taskq.explain(t.id) as explained, w.name as worker, clock_timestamp() as now,
       t.status = 'queued' and t.run_at > clock_timestamp() as is_scheduled,
       exists (select from taskq.tasks m where m.mission_id = t.id and m.mission_id <> m.id) as has_descendants,
       exists (select from taskq.policies p where p.task_id = t.id)
         or exists (select from taskq.roles r where r.name = t.role and r.kind = 'agent') as is_agent,
       exists (select from taskq.workers_live l where t.role = any(l.roles) and not l.draining) as is_played,
       (select to_json(x) from (select m.id, m.role, m.name from taskq.tasks m where m.id = t.mission_id and m.id <> t.id) x) as mission,
       (select to_json(x) from (select p.id, p.role, p.name, p.status from taskq.tasks p where p.id = t.parent_id) x) as parent,
       (select json_agg(x) from (
          select r.id, r.role, r.name, r.status, r.created_at from taskq.tasks r where r.rerun_of = t.id order by r.id limit 20) x) as reruns,
       (select json_agg(x) from (
          select p.id, p.role, p.name, p.status, d.on_failure, d.met, p.parent_id = t.id as is_child
          from taskq.dependencies d join taskq.tasks p on p.id = d.depends_on
          where d.task_id = t.id order by p.finished_at is not null, p.created_at, p.id limit 100) x) as dependencies,
       (select count(*) from taskq.dependencies d where d.task_id = t.id) as dependency_count,
       (select json_agg(x) from (
          select c.id, c.role, c.name, c.status, d.on_failure, d.met
          from taskq.dependencies d join taskq.tasks c on c.id = d.task_id
          where d.depends_on = t.id order by c.created_at, c.id limit 100) x) as dependents,
       (select count(*) from (select from taskq.dependencies d where d.depends_on = t.id limit 10000) x) as dependent_count,
       (select json_agg(x) from (
          select c.id, c.role, c.name, c.status, c.progress, c.attempt, c.max_attempts
          from taskq.tasks c where c.parent_id = t.id order by c.created_at, c.id limit 100) x) as children,
       (select json_agg(x order by x.lease) from (
          select a.attempt, a.kind, a.message, a.traceback, v.name as worker, a.worker_id, a.started_at, a.finished_at, a.lease
          from taskq.attempts a left join taskq.workers v on v.id = a.worker_id
          where a.task_id = t.id order by a.lease desc limit 50) x) as attempts,
       (select json_agg(x order by x.id) from (
          select e.id, e.at, e.verb, e."from", e."to", e.actor, e.reason from taskq.events e
          where e.task_id = t.id order by e.id desc limit 200) x) as events,
       (select json_agg(x order by x.id) from (
          select l.id, l.at, l.attempt, l.line from taskq.logs l where l.task_id = t.id order by l.id desc limit 200) x) as logs,
       (select json_agg(x order by x.turn, x.place) from (
          select c.*, extract(epoch from c.finished_at - c.started_at)::float as seconds
          from taskq.tool_calls c where c.task_id = t.id order by c.turn desc, c.place desc limit 200) x) as calls,
       (select count(*) from taskq.tool_calls c where c.task_id = t.id) as call_count,
       (select json_agg(x) from (
          select s.place, s.name, s.kind, left(s.result, 2000) as result, s.wake_at, s.attempt, s.at, s.done_at from taskq.steps s
          where s.task_id = t.id order by s.place desc limit 100) x) as steps,
       (select json_agg(x) from (
          select s.name, s.payload, s.actor, s.at from taskq.signals s where s.task_id = t.id order by s.at limit 100) x) as signals,
       (select json_agg(x) from (
          select s.verb, s.text, s.actor, s.at, s.seq, s.done_at from taskq.steers s where s.task_id = t.id order by s.id limit 500) x) as steers,
       (select json_agg(x) from (
          select c.round, c.name, c.passed, c.detail, c.at from taskq.checks c where c.task_id = t.id
          order by c.round desc, c.at, c.name limit 200) x) as checks,
       (select json_agg(b order by b.n) from (
          select s.*, a.n from above a join taskq.spend s on s.scope = 'task' and s.key = a.id::text
          union all select s.*, 100 from taskq.spend s where s.scope = 'mission' and s.key = t.mission_id::text
          union all select s.*, 101 from taskq.spend s where s.scope = 'role' and s.key = t.role) b) as budgets,
       (select p.policy from taskq.policies p where p.task_id = t.id) as policy,
       (select to_json(x) from (
          select sum(m.cost)::float as cost, count(*) filter (where m.role = 'assistant') as turns, count(*) as messages, max(m.seq) as last,
                 bool_or(m.simulated) as simulated, string_agg(distinct m.model, ', ') as models,
                 sum(c.tokens_in)::float as tokens_in,
                 sum(c.tokens_out)::float as tokens_out
          from taskq.messages m
          cross join lateral (
            select coalesce(sum(v.value::numeric) filter (where v.key <> 'output_tokens'), 0) as tokens_in,
                   coalesce(sum(v.value::numeric) filter (where v.key = 'output_tokens'), 0) as tokens_out
            from jsonb_each(case when jsonb_typeof(m.usage) = 'object' then m.usage else '{}' end) v
            where jsonb_typeof(v.value) = 'number'
              and v.key in ('input_tokens', 'output_tokens', 'cache_creation_input_tokens', 'cache_read_input_tokens')) c
          where m.task_id = t.id having count(*) > 0) x) as spent
from taskq.tasks t
left join taskq.workers w on w.id = t.worker_id
where t.id = $1

-- name: page_messages
-- The messages of a task ($1) before number $2 (null: the newest), at most $3.
select * from (
  select m.seq, m.role, m.body, m.stop_reason, m.model, m.usage, m.cost::float, m.simulated, m.attempt, m.created_at, m.request_id
  from taskq.messages m
  where m.task_id = $1 and ($2::integer is null or m.seq < $2)
  order by m.seq desc limit $3) x
order by x.seq

-- name: page_message
-- A message ($2) of a task ($1), and behind one of the model the answers to it.
select m.seq, m.role, m.body, m.stop_reason, m.model, m.usage, m.cost::float, m.simulated, m.attempt, m.created_at, m.request_id,
       t.role as task_role, t.name as task_name, (select max(o.seq) from taskq.messages o where o.task_id = m.task_id) as last,
       (select json_agg(c) from (
          select c.*, extract(epoch from c.finished_at - c.started_at)::float as seconds
          from taskq.tool_calls c where c.task_id = m.task_id and c.turn = $2) c) as calls,
       (select json_agg(s) from (select s.seq, s.actor from taskq.steers s where s.task_id = m.task_id and s.seq = $2) s) as steers
from taskq.messages m join taskq.tasks t on t.id = m.task_id
where m.task_id = $1 and m.seq >= $2
  and m.seq < coalesce((select min(o.seq) from taskq.messages o where o.task_id = $1 and o.seq > $2 and o.role = 'assistant'), m.seq + 1)
order by m.seq limit 200
