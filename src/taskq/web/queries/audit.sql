-- The ledger of tool calls, by name.  What is long is cut at $9 characters.

-- name: tool_calls_page
-- Newest first.  $6, $7, $8: the place to go on below.
select c.task_id, t.role as role, c.call_id, c.turn, c.place, c.tool, c.actor, c.effect, c.status, left(c.input, $9) as input,
       left(c.output, $9) as output, c.artifact, c.needs_approval, c.approved_by, c.declined_by, c.declined_note,
       left(c.amended_input, $9) as amended_input, c.attempt, c.proposed_at, c.started_at, c.finished_at,
       date_part('epoch', c.finished_at - c.started_at) as took
from (
  select * from taskq.tool_calls c
  where ($1::text[] is null or c.tool = any($1)) and ($2::text[] is null or c.status = any($2)) and ($3::text[] is null or c.effect = any($3))
    and ($4::timestamptz is null or c.proposed_at >= $4) and ($5::timestamptz is null or c.proposed_at < $5)
    and ($6::timestamptz is null or c.proposed_at <= $6 and (c.proposed_at, c.task_id, c.call_id) < ($6, $7::uuid, $8::text))
    and ($11::uuid is null
         or c.task_id = any(array(select m.id from taskq.tasks m where m.mission_id = $11 and m.mission_id <> m.id) || $11))
  order by c.proposed_at desc, c.task_id desc, c.call_id desc
  limit $10) c
join taskq.tasks t on t.id = c.task_id
order by c.proposed_at desc, c.task_id desc, c.call_id desc

-- name: tool_calls_of_task
-- In their order, behind a turn and place; one row of nulls at least if there is such a task ($1).
select t.id as task_id, t.role, c.call_id, c.turn, c.place, c.tool, c.actor, c.effect, c.status, left(c.input, $4) as input,
       left(c.output, $4) as output, c.artifact, c.needs_approval, c.approved_by, c.declined_by, c.declined_note,
       left(c.amended_input, $4) as amended_input, c.attempt, c.proposed_at, c.started_at, c.finished_at,
       date_part('epoch', c.finished_at - c.started_at) as took
from taskq.tasks t left join lateral (
  select * from taskq.tool_calls c where c.task_id = t.id and (c.turn, c.place) > ($2, $3)
  order by c.turn, c.place, c.call_id limit $5) c on true
where t.id = $1
order by c.turn, c.place, c.call_id
