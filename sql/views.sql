-- Views: what people look at.

create view taskq.workers_live as
select w.id, w.name, w.roles, w.concurrency, w.version, w.draining, w.trouble, w.started_at, w.heartbeat_at,
       (select count(*) from taskq.tasks t where t.status = 'in_progress' and t.worker_id = w.id) as running
from taskq.workers w
where w.heartbeat_at > now() - w.lease and w.missing_since is null;
comment on view taskq.workers_live is 'The workers that are alive, and how many tasks each runs.';
comment on column taskq.workers_live.id is 'The worker.';
comment on column taskq.workers_live.name is 'Host and process id.';
comment on column taskq.workers_live.roles is 'The roles that it plays.';
comment on column taskq.workers_live.concurrency is 'Its slots.';
comment on column taskq.workers_live.version is 'Its version of taskq.';
comment on column taskq.workers_live.draining is 'Whether it is stopping.';
comment on column taskq.workers_live.trouble is 'What it says is wrong with itself.';
comment on column taskq.workers_live.started_at is 'When it started.';
comment on column taskq.workers_live.heartbeat_at is 'Its last heartbeat.';
comment on column taskq.workers_live.running is 'How many tasks it runs.';

create view taskq.overview as
with queued as (
  select role, count(*) filter (where run_at <= now()) as ready, count(*) filter (where run_at > now()) as scheduled,
         min(run_at) filter (where run_at <= now()) as oldest
  from taskq.tasks where status = 'queued' group by role),
running as (select role, count(*) as in_progress from taskq.tasks where status = 'in_progress' group by role),
waiting as (
  select role, count(*) filter (where status = 'blocked') as blocked, count(*) filter (where status = 'awaiting_approval') as awaiting_approval
  from taskq.tasks where status <> 'queued' and lease is null and finished_at is null group by role),
failures as (
  select role, count(*) as failed_24h from taskq.tasks where status = 'failed' and finished_at > now() - interval '24 h' group by role),
played as (select r as role, count(*) as workers, sum(w.concurrency) as slots from taskq.workers_live w, unnest(w.roles) r where not w.draining group by r),
pauses as (select role, true as paused from taskq.role_pauses)
select role, coalesce(ready, 0) as ready, coalesce(scheduled, 0) as scheduled, coalesce(in_progress, 0) as in_progress,
       coalesce(blocked, 0) as blocked, coalesce(awaiting_approval, 0) as awaiting_approval, coalesce(failed_24h, 0) as failed_24h,
       coalesce(workers, 0) as workers, coalesce(slots, 0) as slots, now() - oldest as oldest_ready,
       coalesce(paused, false) as paused
from queued full join running using (role) full join waiting using (role) full join failures using (role) full join played using (role)
  full join pauses using (role)
order by role;
comment on view taskq.overview is 'By role: what is ready, scheduled, running and waiting, what failed in 24 hours, and who plays it.';
comment on column taskq.overview.role is 'The role.';
comment on column taskq.overview.ready is 'Queued and due.';
comment on column taskq.overview.scheduled is 'Queued for later.';
comment on column taskq.overview.in_progress is 'Running.';
comment on column taskq.overview.blocked is 'Waiting for other tasks.';
comment on column taskq.overview.awaiting_approval is 'Waiting for a person.';
comment on column taskq.overview.failed_24h is 'Failed in the last 24 hours.';
comment on column taskq.overview.workers is 'Live workers that play it.';
comment on column taskq.overview.slots is 'Their slots.';
comment on column taskq.overview.oldest_ready is 'How long the oldest ready task has waited.';
comment on column taskq.overview.paused is 'Whether nobody claims it until it is resumed.';

create view taskq.running as
select t.id, t.role, t.name, t.mission_id, t.attempt, t.max_attempts, t.progress, t.progress_note, now() - t.started_at as "for",
       t.worker_id, w.name as worker, now() - t.heartbeat_at as since_heartbeat, t.lease_expires_at, t.cancel_requested_at
from taskq.tasks t left join taskq.workers w on w.id = t.worker_id
where t.status = 'in_progress'
order by t.started_at;
comment on view taskq.running is 'What runs now, where, and how far it is.';
comment on column taskq.running.id is 'The task.';
comment on column taskq.running.role is 'Its role.';
comment on column taskq.running.name is 'Its name.';
comment on column taskq.running.mission_id is 'Its mission.';
comment on column taskq.running.attempt is 'The attempt.';
comment on column taskq.running.max_attempts is 'How many it may take.';
comment on column taskq.running.progress is 'How far it is, 0 to 1.';
comment on column taskq.running.progress_note is 'What it does.';
comment on column taskq.running."for" is 'How long it has run.';
comment on column taskq.running.worker_id is 'The worker.';
comment on column taskq.running.worker is 'The name of the worker.';
comment on column taskq.running.since_heartbeat is 'The age of its last heartbeat.';
comment on column taskq.running.lease_expires_at is 'When its lease runs out.';
comment on column taskq.running.cancel_requested_at is 'When it was asked to stop.';

create view taskq.stuck as
select t.id, t.role, t.name, t.worker_id, t.started_at, t.heartbeat_at, t.lease_expires_at,
       case when t.lease_expires_at < now() then 'its lease ran out'
            when t.started_at + t.timeout < now() - interval '1 min' then 'it runs past its timeout'
            else 'asked to stop, and did not' end as why
from taskq.tasks t
where t.status = 'in_progress'
  and (t.lease_expires_at < now() or t.started_at + t.timeout < now() - interval '1 min'
       or t.cancel_requested_at < now() - interval '1 min');
comment on view taskq.stuck is 'What is in progress but should not be any more; empty while workers and the reaper do their work.';
comment on column taskq.stuck.id is 'The task.';
comment on column taskq.stuck.role is 'Its role.';
comment on column taskq.stuck.name is 'Its name.';
comment on column taskq.stuck.worker_id is 'Its worker.';
comment on column taskq.stuck.started_at is 'When the attempt started.';
comment on column taskq.stuck.heartbeat_at is 'Its last heartbeat.';
comment on column taskq.stuck.lease_expires_at is 'When its lease runs out.';
comment on column taskq.stuck.why is 'Why it is here.';

create view taskq.stale as
select t.id, t.role, t.name, t.run_at, now() - t.run_at as waiting_for, taskq.explain(t.id) as why
from taskq.tasks t
where t.status = 'queued' and t.run_at < now() - interval '5 min'
order by t.run_at;
comment on view taskq.stale is 'What could run and has not for more than five minutes, and why.';
comment on column taskq.stale.id is 'The task.';
comment on column taskq.stale.role is 'Its role.';
comment on column taskq.stale.name is 'Its name.';
comment on column taskq.stale.run_at is 'Since when it could run.';
comment on column taskq.stale.waiting_for is 'For how long.';
comment on column taskq.stale.why is 'What keeps it: taskq.explain.';

create view taskq.waiting as
select t.id, t.role, t.name, t.status, t.waiting_on, now() - t.created_at as "for", taskq.explain(t.id) as why
from taskq.tasks t
where t.status <> 'queued' and t.lease is null and t.finished_at is null
order by t.status, t.created_at;
comment on view taskq.waiting is 'What waits for other tasks or for a person, and for which.';
comment on column taskq.waiting.id is 'The task.';
comment on column taskq.waiting.role is 'Its role.';
comment on column taskq.waiting.name is 'Its name.';
comment on column taskq.waiting.status is 'blocked or awaiting_approval.';
comment on column taskq.waiting.waiting_on is 'For how many tasks.';
comment on column taskq.waiting."for" is 'Since its insertion.';
comment on column taskq.waiting.why is 'For what: taskq.explain.';

create view taskq.orphaned as
select t.id, t.role, t.name, t.status,
       case t.status when 'queued' then format('no live worker plays role %s', t.role) else 'its worker is gone' end as why
from taskq.tasks t
where t.status = 'queued' and not exists (select from taskq.workers_live w where t.role = any(w.roles) and not w.draining)
   or t.status = 'in_progress' and not exists (select from taskq.workers_live w where w.id = t.worker_id);
comment on view taskq.orphaned is 'Queued tasks that nobody plays, and running ones whose worker is gone.';
comment on column taskq.orphaned.id is 'The task.';
comment on column taskq.orphaned.role is 'Its role.';
comment on column taskq.orphaned.name is 'Its name.';
comment on column taskq.orphaned.status is 'queued or in_progress.';
comment on column taskq.orphaned.why is 'Why nobody has it.';

create view taskq.timeline as
select id as task_id, mission_id, created_at as at, 'created' as what, created_by as actor, null::text as detail from taskq.tasks
union all
select id, mission_id, started_at, 'started', worker_id::text, 'attempt ' || attempt from taskq.tasks
where started_at is not null and status in ('in_progress', 'completed')
union all
select id, mission_id, finished_at, 'completed', worker_id::text, null from taskq.tasks where status = 'completed'
union all
select a.task_id, t.mission_id, a.started_at, 'started', a.worker_id::text, 'attempt ' || a.attempt
from taskq.attempts a join taskq.tasks t on t.id = a.task_id where a.started_at is not null
union all
select e.task_id, t.mission_id, e.at, e.verb, e.actor, coalesce(e.reason, '') from taskq.events e join taskq.tasks t on t.id = e.task_id
union all
select l.task_id, t.mission_id, l.at, 'log', null, l.line from taskq.logs l join taskq.tasks t on t.id = l.task_id
union all
select m.task_id, t.mission_id, m.created_at, 'message', m.role, coalesce(m.model || ': ', '') || coalesce(m.stop_reason, '')
from taskq.messages m join taskq.tasks t on t.id = m.task_id;
comment on view taskq.timeline is 'What happened to a task or a mission: select … where task_id = … order by at.';
comment on column taskq.timeline.task_id is 'The task.';
comment on column taskq.timeline.mission_id is 'Its mission.';
comment on column taskq.timeline.at is 'When.';
comment on column taskq.timeline.what is 'What happened.';
comment on column taskq.timeline.actor is 'Who did it.';
comment on column taskq.timeline.detail is 'More about it.';
