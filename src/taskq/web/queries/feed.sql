-- What happens, for whoever listens.  The way of success writes no events, so what happened is found in what is there, by time.

-- name: look
-- What happened after $1, and what is now.  $2: how many rows of a kind at most (one more says that there were more).
-- $3, $4: the range of version 7 ids of that time.  $5: what ran at the last look.
-- `key` names the happening: who remembers the keys that he has told tells each once.  What is a state (`kind` ends in _is) is
-- told by comparing it with the last look.  Every part is a range of an index; test_feed_plans.py holds us to it.
with recursive
running as (
  select t.id, t.mission_id, t.parent_id, t.role, t.lease, t.attempt, t.started_at, t.worker_id, t.progress, t.progress_note
  from taskq.tasks t
  where t.status = 'in_progress'
  order by t.lease desc limit greatest($2::integer, 5000)),
-- the BRIN index: pages whose rows finished lately
ended as (
  select t.id, t.mission_id, t.parent_id, t.role, t.status, t.attempt, t.started_at, t.finished_at, t.worker_id, t.name, t.has_dependents
  from taskq.tasks t
  where t.finished_at > $1::timestamptz
  limit $2::integer + 1),
noted as (
  select e.id as event, e.at, e.verb, e."to", e.actor, e.reason, e.task_id as id, t.mission_id, t.parent_id, coalesce(t.role::text, e.role) as role, t.status
  from (select * from taskq.events e where e.at > $1::timestamptz order by e.at desc limit $2::integer + 1) e
  left join taskq.tasks t on t.id = e.task_id),
-- the roles and priorities that have something queued, by skipping through the ready index
role_queued (role) as (
  (select q.role::text from taskq.tasks q where q.status = 'queued' order by q.role limit 1)
  union all
  select (select q.role::text from taskq.tasks q where q.status = 'queued' and q.role > r.role order by q.role limit 1)
  from role_queued r where r.role is not null),
level (role, priority) as (
  select r.role, (select q.priority from taskq.tasks q where q.status = 'queued' and q.role = r.role order by q.priority desc limit 1)
  from role_queued r where r.role is not null
  union all
  select l.role, (select q.priority from taskq.tasks q where q.status = 'queued' and q.role = l.role and q.priority < l.priority
                  order by q.priority desc limit 1)
  from level l where l.priority is not null),
due as (
  select q.* from level l cross join lateral (
    select q.id, q.mission_id, q.parent_id, q.role, q.status, q.created_at, q.created_by, q.run_at, q.name
    from taskq.tasks q
    where q.status = 'queued' and q.role = l.role and q.priority = l.priority and q.run_at > $1::timestamptz and q.run_at <= now()
    order by q.run_at desc limit $2::integer + 1) q
  where l.priority is not null),
-- ids that clients chose are in no range: who comes into the line now and was made now is new, and so are its kin
strange as (
  select d.id, d.mission_id from due d
  where d.created_at > $1::timestamptz and d.id not between $3::uuid and $4::uuid),
created as (
  (select t.id, t.mission_id, t.parent_id, t.role, t.status, t.created_at, t.created_by, t.name
   from taskq.tasks t
   where t.id between $3::uuid and $4::uuid and t.created_at > $1::timestamptz
   order by t.id desc limit $2::integer + 1)
  union
  (select t.id, t.mission_id, t.parent_id, t.role, t.status, t.created_at, t.created_by, t.name
   from taskq.tasks t
   where t.id = any(array(select s.id from strange s
                          union select k.id from taskq.tasks k
                          where k.mission_id = any(array(select s.mission_id from strange s)) and k.mission_id <> k.id
                            and k.created_at > $1::timestamptz))
   limit $2::integer + 1)),
logged as (
  select l.id, l.at, l.task_id, l.line
  from (select * from taskq.logs l order by l.id desc limit $2::integer + 1) l
  where l.at > $1::timestamptz),
-- what ran, or may have run, and gave its slot back without an event: the children that it waits for tell of it
gone as (
  select t.id, t.mission_id, t.parent_id, t.role, t.status, t.attempt, t.started_at, t.worker_id
  from taskq.tasks t
  where t.id = any(array(select k.id from unnest($5::uuid[]) k (id)
                         union select c.parent_id from created c where c.parent_id is not null))
    and t.lease is null and t.started_at is not null and t.status in ('queued', 'blocked')
    and not exists (select from noted n where n.id = t.id and n."to" = t.status)),
touched as (
  select id, mission_id, parent_id, role::text, 'in_progress'::taskq.status as status from running
  union select id, mission_id, parent_id, role::text, status from ended
  union select id, mission_id, parent_id, role::text, status from gone
  union select id, mission_id, parent_id, role, status from noted where id is not null),
happened (kind, key, at, verb, task_id, mission_id, parent_id, role, status, actor, detail) as (
  select 'created', t.id::text, t.created_at, 'created', t.id, t.mission_id, t.parent_id, t.role, t.status, t.created_by, t.name
  from created t
  union all
  select 'started', t.id || ' ' || t.started_at, t.started_at, 'started', t.id, t.mission_id, t.parent_id, t.role, 'in_progress',
         'worker ' || t.worker_id, 'attempt ' || t.attempt
  from running t where t.started_at > $1
  union all
  -- what started and ended between two looks
  select 'started', t.id || ' ' || t.started_at, t.started_at, 'started', t.id, t.mission_id, t.parent_id, t.role, t.status,
         'worker ' || t.worker_id, 'attempt ' || t.attempt
  from ended t where t.status = 'completed' and t.started_at > $1
  union all
  select 'started', a.task_id || ' ' || a.started_at, a.started_at, 'started', n.id, n.mission_id, n.parent_id, n.role, n.status,
         'worker ' || a.worker_id, 'attempt ' || a.attempt
  from (select distinct n.id, n.mission_id, n.parent_id, n.role, n.status from noted n where n."to" <> 'in_progress') n
  cross join lateral (select * from taskq.attempts a where a.task_id = n.id and a.started_at > $1 limit 10) a
  union all
  select 'completed', t.id::text, t.finished_at, 'completed', t.id, t.mission_id, t.parent_id, t.role, t.status, 'worker ' || t.worker_id, null
  from ended t where t.status = 'completed'
  union all
  select 'noted', n.event::text, n.at, n.verb, n.id, n.mission_id, n.parent_id, n.role, n.status, n.actor, n.reason
  from noted n
  union all
  select 'ready', d.id || ':' || d.run_at, d.run_at, 'ready', d.id, d.mission_id, d.parent_id, d.role, d.status, null, d.name
  from due d where d.run_at > d.created_at
  union all
  select 'started', t.id || ' ' || t.started_at, t.started_at, 'started', t.id, t.mission_id, t.parent_id, t.role, t.status,
         'worker ' || t.worker_id, 'attempt ' || t.attempt + 1
  from gone t where t.started_at > $1
  union all
  select 'left', t.id || ' ' || t.started_at, now(), case t.status when 'queued' then 'released' else 'waits' end, t.id, t.mission_id,
         t.parent_id, t.role, t.status, null, null
  from gone t
  union all
  -- no happenings: whose dependencies have ended
  (select 'stirred', null, e.finished_at, null, d.task_id, null, null, null, null, null, null
   from ended e join taskq.dependencies d on d.depends_on = e.id where e.has_dependents limit $2)
  union all
  select 'message', t.id || ':' || m.seq, m.created_at, 'message', t.id, t.mission_id, t.parent_id, t.role, t.status, m.role,
         nullif(concat_ws(': ', m.model, m.stop_reason), '')
  from touched t cross join lateral (
    select m.seq, m.role, m.model, m.stop_reason, m.created_at from taskq.messages m where m.task_id = t.id order by m.seq desc limit 5) m
  where m.created_at > $1::timestamptz
  union all
  select 'call', t.id || ':' || c.call_id || ':' || c.status, c.at, 'tool_call', t.id, t.mission_id, t.parent_id, t.role, t.status, c.actor,
         c.tool || ': ' || c.status
  from touched t cross join lateral (
    select c.call_id, c.status, c.tool, c.actor, coalesce(c.finished_at, c.started_at, c.proposed_at) as at
    from taskq.tool_calls c where c.task_id = t.id order by c.turn desc, c.place desc limit 10) c
  where c.at > $1::timestamptz
  union all
  select 'log', l.id::text, l.at, 'log', l.task_id, t.mission_id, t.parent_id, t.role, t.status, null, left(l.line, 500)
  from logged l join taskq.tasks t on t.id = l.task_id
  union all
  select 'progress_is', r.lease::text, now(), 'progress', r.id, r.mission_id, r.parent_id, r.role, 'in_progress', null,
         concat_ws(' ', round((r.progress * 100)::numeric) || ' %', r.progress_note)
  from running r where r.progress is not null or r.progress_note is not null
  union all
  select 'awaiting_is', t.id::text, now(), 'awaiting_approval', t.id, t.mission_id, t.parent_id, t.role, t.status, null, t.name
  from (select * from taskq.tasks t
        where t.status = 'awaiting_approval' and t.status <> 'queued' and t.lease is null and t.finished_at is null
        order by t.id desc limit $2::integer) t
  union all
  select 'worker_is', w.id::text, now(),
         case when w.missing_since is not null or w.heartbeat_at <= now() - w.lease then 'missing' when w.draining then 'draining'
              when w.trouble is not null then 'trouble' else 'lives' end,
         null, null, null, null, null, w.name, w.trouble
  from taskq.workers w
  union all
  select 'gate_is', g.provider || '/' || g.model, now(), 'gate_paused', null, null, null, null, null, g.set_by, g.reason
  from taskq.gates g where g.paused_until > now())
select h.*, null::uuid[] as ids, null::timestamptz as oldest, null::boolean as is_more
from happened h
union all
select 'now', null, now(), null, null, null, null, null, null, null, null,
       (select array_agg(r.id) from running r),
       -- one that has written nothing yet may write last of all, with the time of its beginning; one that reads for hours is not waited for
       (select min(case when a.backend_xid is null then greatest(a.xact_start, now() - interval '10 s') else a.xact_start end)
        from pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid() and a.xact_start is not null),
       $2 < greatest((select count(*) from created), (select count(*) from ended), (select count(*) from noted), (select count(*) from due),
                     (select count(*) from running r where r.started_at > $1), (select count(*) from logged))

-- name: moment
select clock_timestamp() as now
