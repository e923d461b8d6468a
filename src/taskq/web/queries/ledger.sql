-- The page of tool calls, by name.  Its place is (proposed_at, task_id, call_id), newest first.  Nothing here writes.
-- $1 tools, $2 statuses, $3 effect, $4 role, $5 within this time, $6 to $8 the place to go on from, $9 rows.

-- name: ledger_older
select c.task_id, c.call_id, c.turn, c.place, c.tool, c.actor, c.effect, c.status, left(c.input, 300) as input, left(c.output, 300) as output,
       c.needs_approval, c.approved_by, c.declined_by, c.proposed_at, c.finished_at - c.started_at as took, t.name, t.role
from (
  select * from taskq.tool_calls c
  where ($1::text is null or c.tool ilike $1) and ($2::text[] is null or c.status = any($2)) and ($3::text is null or c.effect = $3)
    and ($4::text is null or c.actor = $4) and ($5::interval is null or c.proposed_at >= now() - $5)
    and ($6::timestamptz is null or (c.proposed_at, c.task_id, c.call_id) < ($6, $7::uuid, $8::text))
  order by c.proposed_at desc, c.task_id desc, c.call_id desc limit $9) c
join taskq.tasks t on t.id = c.task_id
order by c.proposed_at desc, c.task_id desc, c.call_id desc

-- name: ledger_newer
-- As ledger_older, the other way: those next above the place.
select c.task_id, c.call_id, c.turn, c.place, c.tool, c.actor, c.effect, c.status, left(c.input, 300) as input, left(c.output, 300) as output,
       c.needs_approval, c.approved_by, c.declined_by, c.proposed_at, c.finished_at - c.started_at as took, t.name, t.role
from (
  select * from taskq.tool_calls c
  where ($1::text is null or c.tool ilike $1) and ($2::text[] is null or c.status = any($2)) and ($3::text is null or c.effect = $3)
    and ($4::text is null or c.actor = $4) and ($5::interval is null or c.proposed_at >= now() - $5)
    and (c.proposed_at, c.task_id, c.call_id) > ($6::timestamptz, $7::uuid, $8::text)
  order by c.proposed_at, c.task_id, c.call_id limit $9) c
join taskq.tasks t on t.id = c.task_id
order by c.proposed_at desc, c.task_id desc, c.call_id desc

-- name: ledger_names
-- The tools and roles that were seen lately.
select array(select distinct tool from (select tool from taskq.tool_calls order by task_id desc limit 2000) x order by 1) as tools,
       array(select distinct actor from (select actor from taskq.tool_calls order by task_id desc limit 2000) x order by 1) as actors
