-- Control: what people say to a running agent.

-- say: something for an agent to hear before its next turn.
create function taskq.say(_id uuid, _verb text, _text text, _actor text) returns bigint
language plpgsql as $$
declare
  _task taskq.tasks := taskq.pick(_id, case _verb when 'say' then 'steer' else _verb end, '{blocked,awaiting_approval,queued,in_progress}');
  _said bigint;
begin
  if coalesce(btrim(_text), '') = '' then
    raise exception 'there is nothing to say to task %', _id using errcode = 'TQ001', hint = 'give a text';
  end if;
  insert into taskq.steers (task_id, verb, text, actor) values (_id, _verb, left(_text, 16000), coalesce(_actor, session_user))
  returning id into _said;
  perform taskq.note(_id, case _verb when 'say' then 'steer' else _verb end, _task.status, _task.status, _actor, taskq.line(_text));
  return _said;
end $$;
comment on function taskq.say(uuid, text, text, text) is 'Keeps what an agent is to hear before its next turn.';

-- steer: a message that is put in before the next turn.
create function taskq.steer(_id uuid, _text text, _actor text default null) returns bigint
language sql security definer set search_path = '' as $$ select taskq.say(_id, 'say', _text, _actor) $$;
comment on function taskq.steer(uuid, text, text) is 'Tells an agent something before its next turn; returns the number of the message.';

-- pause: it waits for an approval before the next turn.
create function taskq.pause(_id uuid, _reason text default null, _actor text default null) returns bigint
language sql security definer set search_path = '' as $$ select taskq.say(_id, 'pause', coalesce(_reason, 'paused'), _actor) $$;
comment on function taskq.pause(uuid, text, text) is 'Has an agent wait for an approval before its next turn; taskq.approve resumes it.';

-- park: a running task waits for a person, who should know why.
create function taskq.park(_worker uuid, _id uuid, _lease bigint, _reason text) returns taskq.status
language plpgsql as $$
declare
  _as taskq.status := taskq.wait(_worker, _id, _lease, '{}');
begin
  if _as = 'awaiting_approval' then
    update taskq.steers s set done_at = clock_timestamp() where s.task_id = _id and s.verb = 'pause' and s.done_at is null;
    perform taskq.note(_id, 'park', 'in_progress', _as, 'worker ' || _worker, left(_reason, 8192));
  end if;
  return _as;
end $$;
comment on function taskq.park(uuid, uuid, bigint, text) is 'For workers: a running task waits for a person''s approval, holding nothing; the reason is kept.';

-- why_parked: what a task that awaits approval wants of the person.
create function taskq.why_parked(_id uuid) returns text
language sql stable as $$
  select e.reason from taskq.events e where e.task_id = _id and e.verb = 'park' order by e.id desc limit 1
$$;
comment on function taskq.why_parked(uuid) is 'Why a task that awaits approval was parked; null when it has awaited it from the start.';
