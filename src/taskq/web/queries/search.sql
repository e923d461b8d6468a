-- The search, by name.  $1 are patterns, all of which must be found; $2 is the first of the words, in lower case: what is
-- shown is what stands around it.  Each looks at the newest rows only and stops when it has enough, so that none takes long:
-- the primary keys begin with ids of version 7, which lie in the order of time.  Nothing here writes.

-- name: search_ids
-- The tasks whose id begins or ends with these hex digits ($1).
select id from taskq.tasks where id between rpad($1, 32, '0')::uuid and rpad($1, 32, 'f')::uuid
union
select t.id from (select id from taskq.tasks order by id desc limit 100000) t
where t.id::text like '%' || $1 or (length($1) > 12 and replace(t.id::text, '-', '') like '%' || $1)
limit 3

-- name: search_tasks
select t.id, t.role, t.name, t.status::text, t.created_at, case when strpos(lower(x.body), $2) > 61 then '…' else '' end || substr(x.body, greatest(strpos(lower(x.body), $2) - 60, 1), 220) as around
from (select * from taskq.tasks order by id desc limit 50000) t,
     lateral (select concat_ws(' · ', t.error, t.payload::text, t.result::text, t.created_by) as body) x
where concat_ws(' ', t.name, t.role, x.body) ilike all($1::text[])
limit 12

-- name: search_missions
-- Roots that others descend from.
with roots as materialized (
  select mission_id as id, count(*) as others from taskq.tasks where mission_id <> id group by mission_id order by mission_id desc limit 5000)
select t.id, t.role, t.name, t.status::text, t.created_at, r.others,
       case when strpos(lower(t.payload::text), $2) > 61 then '…' else '' end
       || substr(t.payload::text, greatest(strpos(lower(t.payload::text), $2) - 60, 1), 220) as around
from roots r join taskq.tasks t on t.id = r.id
where concat_ws(' ', t.name, t.role, t.payload::text) ilike all($1::text[])
order by t.id desc
limit 8

-- name: search_messages
select m.task_id, m.seq, m.role as said_by, m.created_at, t.name, t.role,
       case when strpos(lower(m.body), $2) > 121 then '…' else '' end || substr(m.body, greatest(strpos(lower(m.body), $2) - 120, 1), 360) as around
from (select * from taskq.messages order by task_id desc, seq desc limit 4000) m join taskq.tasks t on t.id = m.task_id
where m.body ilike all($1::text[])
limit 12

-- name: search_calls
select c.task_id, c.turn, c.place, c.tool, c.status, c.effect, c.proposed_at, t.name, t.role,
       case when strpos(lower(x.body), $2) > 61 then '…' else '' end || substr(x.body, greatest(strpos(lower(x.body), $2) - 60, 1), 220) as around
from (select * from taskq.tool_calls order by task_id desc, call_id limit 20000) c join taskq.tasks t on t.id = c.task_id,
     lateral (select concat_ws(' → ', c.input, c.output, c.artifact) as body) x
where concat_ws(' ', c.tool, c.status, x.body) ilike all($1::text[])
limit 12

-- name: search_events
select e.at, e.verb, e.actor, e.reason, e.task_id, coalesce(t.name, t.role, e.role) as name, e.role as of_role,
       case when strpos(lower(e.reason), $2) > 61 then '…' else '' end || substr(e.reason, greatest(strpos(lower(e.reason), $2) - 60, 1), 220) as around
from (select * from taskq.events order by id desc limit 20000) e left join taskq.tasks t on t.id = e.task_id
where concat_ws(' ', e.verb, e.actor, e.reason) ilike all($1::text[])
limit 12
