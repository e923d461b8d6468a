-- The table of tasks, by name.  Nothing here writes.
--
-- The place of a task in it is its key: its id where that is of version 7, and so lies in the order of time in the primary
-- key; else such an id made of created_at: those that clients chose are few, and sorted.
-- A text is looked for among the newest 100,000 that fit otherwise, so that no page takes longer than that.
-- $1 statuses, $2 role, $3 mission, $4 pattern of a text, $5 created or ended within this time, $6 the key to go on from, $7 rows.

-- name: browse_older
-- What waits is found by the index of what waits: its conditions follow from the statuses, which the planner cannot know.
with found as (
  (select t.id as key, t.* from (
     select * from taskq.tasks t
     where t.id between '01900000-0000-7000-8000-000000000000' and (select taskq.uuid7()) and ($6::uuid is null or t.id < $6::uuid)
     and ($1::taskq.status[] is null or t.status = any($1))
     and ($1::taskq.status[] is null or not $1 <@ '{blocked,awaiting_approval}'::taskq.status[]
          or (t.status <> 'queued' and t.lease is null and t.finished_at is null))
     and ($2::text is null or t.role = $2) and ($3::uuid is null or (t.mission_id = $3 and t.mission_id <> t.id) or t.id = $3)
     and ($5::interval is null or t.finished_at >= now() - $5 or t.created_at >= now() - $5)
     order by t.id desc limit case when $4::text is not null then 100000 end) t
   where $4::text is null or concat_ws(' ', t.name, t.role, t.error) ilike $4 or ($4 ~ '^%[0-9a-f-]+%$' and t.id::text like $4)
   order by t.id desc limit $7)
  union all
  (select k.key, t.* from taskq.tasks t, lateral (
     select encode(overlay(uuid_send(t.id) placing substring(int8send((extract(epoch from t.created_at) * 1000)::bigint) from 3)
                           from 1 for 6), 'hex')::uuid as key) k
   where (t.id < '01900000-0000-7000-8000-000000000000' or t.id > (select taskq.uuid7())) and ($6::uuid is null or k.key < $6::uuid)
     and ($1::taskq.status[] is null or t.status = any($1))
     and ($1::taskq.status[] is null or not $1 <@ '{blocked,awaiting_approval}'::taskq.status[]
          or (t.status <> 'queued' and t.lease is null and t.finished_at is null))
     and ($2::text is null or t.role = $2) and ($3::uuid is null or (t.mission_id = $3 and t.mission_id <> t.id) or t.id = $3)
     and ($5::interval is null or t.finished_at >= now() - $5 or t.created_at >= now() - $5)
     and ($4::text is null or concat_ws(' ', t.name, t.role, t.error) ilike $4 or ($4 ~ '^%[0-9a-f-]+%$' and t.id::text like $4))
   order by k.key desc limit $7))
select t.key, t.id, t.role, t.name, t.status::text, t.attempt, t.max_attempts, t.waiting_on, t.progress, t.progress_note, t.error_kind,
       left(t.error, 400) as error, t.created_at, least(t.run_at, '9999-12-30') as run_at, t.started_at, t.finished_at, t.cancel_requested_at,
       case when t.started_at is not null and t.status in ('in_progress', 'completed', 'failed', 'cancelled')
            then coalesce(t.finished_at, clock_timestamp()) - t.started_at end as took,
       case when t.status = 'awaiting_approval' then taskq.line(taskq.why_parked(t.id)) end as parked,
       case when t.status = 'queued' then 'paused by ' || p.actor || coalesce(': ' || taskq.line(p.reason), '') end as paused,
       t.status <> 'queued' or exists (select from taskq.workers_live w where t.role = any(w.roles) and not w.draining) as played,
       w.name as worker, m.name as mission, t.mission_id
from (select * from found order by key desc limit $7) t
left join taskq.workers w on w.id = t.worker_id and t.status = 'in_progress'
left join taskq.role_pauses p on p.role = t.role
left join taskq.tasks m on m.id = t.mission_id and m.id = $3
order by t.key desc

-- name: browse_newer
-- As browse_older, the other way: those next above the key.
with found as (
  (select t.id as key, t.* from (
     select * from taskq.tasks t
     where t.id between '01900000-0000-7000-8000-000000000000' and (select taskq.uuid7()) and (t.id > $6::uuid)
     and ($1::taskq.status[] is null or t.status = any($1))
     and ($1::taskq.status[] is null or not $1 <@ '{blocked,awaiting_approval}'::taskq.status[]
          or (t.status <> 'queued' and t.lease is null and t.finished_at is null))
     and ($2::text is null or t.role = $2) and ($3::uuid is null or (t.mission_id = $3 and t.mission_id <> t.id) or t.id = $3)
     and ($5::interval is null or t.finished_at >= now() - $5 or t.created_at >= now() - $5)
     order by t.id limit case when $4::text is not null then 100000 end) t
   where $4::text is null or concat_ws(' ', t.name, t.role, t.error) ilike $4 or ($4 ~ '^%[0-9a-f-]+%$' and t.id::text like $4)
   order by t.id limit $7)
  union all
  (select k.key, t.* from taskq.tasks t, lateral (
     select encode(overlay(uuid_send(t.id) placing substring(int8send((extract(epoch from t.created_at) * 1000)::bigint) from 3)
                           from 1 for 6), 'hex')::uuid as key) k
   where (t.id < '01900000-0000-7000-8000-000000000000' or t.id > (select taskq.uuid7())) and (k.key > $6::uuid)
     and ($1::taskq.status[] is null or t.status = any($1))
     and ($1::taskq.status[] is null or not $1 <@ '{blocked,awaiting_approval}'::taskq.status[]
          or (t.status <> 'queued' and t.lease is null and t.finished_at is null))
     and ($2::text is null or t.role = $2) and ($3::uuid is null or (t.mission_id = $3 and t.mission_id <> t.id) or t.id = $3)
     and ($5::interval is null or t.finished_at >= now() - $5 or t.created_at >= now() - $5)
     and ($4::text is null or concat_ws(' ', t.name, t.role, t.error) ilike $4 or ($4 ~ '^%[0-9a-f-]+%$' and t.id::text like $4))
   order by k.key limit $7))
select t.key, t.id, t.role, t.name, t.status::text, t.attempt, t.max_attempts, t.waiting_on, t.progress, t.progress_note, t.error_kind,
       left(t.error, 400) as error, t.created_at, least(t.run_at, '9999-12-30') as run_at, t.started_at, t.finished_at, t.cancel_requested_at,
       case when t.started_at is not null and t.status in ('in_progress', 'completed', 'failed', 'cancelled')
            then coalesce(t.finished_at, clock_timestamp()) - t.started_at end as took,
       case when t.status = 'awaiting_approval' then taskq.line(taskq.why_parked(t.id)) end as parked,
       case when t.status = 'queued' then 'paused by ' || p.actor || coalesce(': ' || taskq.line(p.reason), '') end as paused,
       t.status <> 'queued' or exists (select from taskq.workers_live w where t.role = any(w.roles) and not w.draining) as played,
       w.name as worker, m.name as mission, t.mission_id
from (select * from found order by key limit $7) t
left join taskq.workers w on w.id = t.worker_id and t.status = 'in_progress'
left join taskq.role_pauses p on p.role = t.role
left join taskq.tasks m on m.id = t.mission_id and m.id = $3
order by t.key desc

-- name: role_names
-- The roles that there are to choose from.
select name from taskq.roles union select r from taskq.workers_live w, unnest(w.roles) r union select role::text from taskq.overview order by 1

-- name: chosen
-- Tasks that were chosen ($1), why those that await a person do, and how many tasks would fall with each if it were cancelled.
select t.id, t.role, t.name, t.status::text, case when t.status = 'awaiting_approval' then taskq.line(taskq.why_parked(t.id)) end as parked,
       case when t.finished_at is null
            then (select count(*) from taskq.tasks f
                  where f.finished_at is null and f.id <> t.id and f.id = any(b.ids || taskq.doom(b.ids || t.id))) else 0 end as falls
from taskq.tasks t, lateral (select taskq.brood(t.id) as ids) b
where t.id = any($1::uuid[])
order by t.id desc
