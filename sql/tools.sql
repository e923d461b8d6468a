-- Tools: the ledger of tool calls, and what a role may call.

-- common: the elements of the first array that are in the second, too.
create function taskq.common(_these jsonb, _those jsonb) returns jsonb
language sql immutable as $$
  select coalesce(jsonb_agg(e order by n), '[]') from jsonb_array_elements(_these) with ordinality u (e, n) where _those @> jsonb_build_array(e)
$$;
comment on function taskq.common(jsonb, jsonb) is 'What two arrays have in common, in the order of the first.';

-- policy_above: what the nearest ancestor that is an agent may do.
create function taskq.policy_above(_id uuid) returns jsonb
language sql stable as $$
  with recursive up (id, n) as (
    select t.parent_id, 1 from taskq.tasks t where t.id = _id and t.parent_id is not null
    union all
    select t.parent_id, up.n + 1 from up join taskq.tasks t on t.id = up.id where t.parent_id is not null)
  select p.policy from up join taskq.policies p on p.task_id = up.id order by up.n limit 1
$$;
comment on function taskq.policy_above(uuid) is 'The policy of the nearest ancestor that has one; null when none has.';

-- adopt_policy: what the role says today, within what the task began with; when it begins, within what its parent may do.
-- A policy is {"tools": […], "repositories": […], …}: lists of names and globs, all of which but delegates bind children, too.
create function taskq.adopt_policy(_worker uuid, _id uuid, _lease bigint, _policy jsonb) returns jsonb
language plpgsql as $$
declare
  _task taskq.tasks := taskq.hold(_worker, _id, _lease);
  _began jsonb := (select p.policy from taskq.policies p where p.task_id = _id);
  _limits jsonb := coalesce(_began, taskq.policy_above(_id));
begin
  if _limits is not null then
    _policy := (
      select jsonb_object_agg(k, case
        when _began is null and k = 'delegates' then v   -- whom a child may ask does not widen what either may do
        when k = 'tools' then taskq.common(v, _limits -> k || '["submit_result"]')   -- whatever it is, an agent may always hand in
        else taskq.common(v, coalesce(_limits -> k, '[]')) end)
      from jsonb_each(_policy) e (k, v));
  end if;
  insert into taskq.policies (task_id, policy) values (_task.id, _policy)
  on conflict (task_id) do update set policy = excluded.policy, at = clock_timestamp()
  where policies.policy <> excluded.policy;
  return _policy;
end $$;
comment on function taskq.adopt_policy(uuid, uuid, bigint, jsonb) is
  'For workers: narrows what the role may do to what its task began with and what the parent may do; keeps and returns that.';

-- call_in_question: the call that a task is parked for, and no other: calls run in order, so it is the first that has not ended.
create function taskq.call_in_question(_id uuid) returns text
language sql stable as $$
  select o.call_id
  from (select * from taskq.tool_calls c where c.task_id = _id and c.finished_at is null order by c.turn, c.place limit 1) o
  where o.needs_approval and o.approved_by is null and o.declined_by is null
$$;
comment on function taskq.call_in_question(uuid) is 'The tool call that awaits a person''s yes or no; null when none does.';

-- question: that call, of a locked task that awaits approval; or an error that says what to do instead.
create function taskq.question(_task taskq.tasks, _verb text) returns text
language plpgsql stable as $$
declare
  _call text := taskq.call_in_question(_task.id);
begin
  if _call is null then
    raise exception 'cannot % of task %: it awaits approval for another reason than a tool call', _verb, _task.id
      using errcode = 'TQ004', hint = format('call taskq.approve(%L, actor) or taskq.reject(%1$L, actor, reason)', _task.id);
  end if;
  return _call;
end $$;
comment on function taskq.question(taskq.tasks, text) is 'The tool call that a locked task awaits approval for; raises TQ004 when it awaits it for another reason.';

-- decline_call: a person says no to one call; the agent is told, and goes on.
create function taskq.decline_call(_id uuid, _note text default null, _actor text default null) returns taskq.status
language plpgsql security definer set search_path = '' as $$
declare
  _task taskq.tasks := taskq.pick(_id, 'decline a call', '{awaiting_approval}');
  _call text := taskq.question(_task, 'decline a call');
begin
  update taskq.tool_calls c set declined_by = coalesce(_actor, session_user), declined_note = left(_note, 4000)
  where c.task_id = _id and c.call_id = _call;
  perform taskq.let_go(_task, 'decline_call', false, _actor, _note);
  return 'queued';
end $$;
comment on function taskq.decline_call(uuid, text, text) is
  'Refuses the tool call that a task awaits approval for; the agent is told why, and goes on.  TQ004 when it awaits it for another reason.';

-- amend_call: a person says yes to one call with other arguments.
create function taskq.amend_call(_id uuid, _input jsonb, _note text default null, _actor text default null) returns taskq.status
language plpgsql security definer set search_path = '' as $$
declare
  _task taskq.tasks := taskq.pick(_id, 'amend a call', '{awaiting_approval}');
  _call text := taskq.question(_task, 'amend a call');
begin
  if jsonb_typeof(_input) is distinct from 'object' then
    raise exception 'the arguments of a call are a JSON object' using errcode = 'TQ001', hint = 'give them whole: they replace those of the model';
  elsif length(_input::text) > 100000 then
    raise exception 'the arguments of a call have at most 100,000 characters' using errcode = 'TQ001', hint = 'put what is long into a file';
  end if;
  update taskq.tool_calls c set approved_by = coalesce(_actor, session_user), amended_input = _input::text
  where c.task_id = _id and c.call_id = _call;
  perform taskq.let_go(_task, 'amend_call', true, _actor, _note);
  return 'queued';
end $$;
comment on function taskq.amend_call(uuid, jsonb, text, text) is
  'Approves the tool call that a task awaits approval for with these arguments in place of the model''s, which is told.  TQ004 when it awaits it for another reason.';

-- intend: the effect is about to happen; committed before it does.
-- Verdicts: run, approve (a person must first), blocked (not among its tools, or refused by a person), over (a budget).
-- _effect: what it does to the world, where that is not what was proposed: a person changed the arguments.
create function taskq.intend(_worker uuid, _id uuid, _lease bigint, _call_id text, _effect text default null)
returns table (verdict text, reason text)
language plpgsql as $$
declare
  _task taskq.tasks := taskq.hold(_worker, _id, _lease);
  _call taskq.tool_calls;
  _allowed jsonb := (select p.policy -> 'tools' from taskq.policies p where p.task_id = _id);
begin
  select * into _call from taskq.tool_calls c where c.task_id = _id and c.call_id = _call_id;
  if not found or _call.finished_at is not null then
    raise exception 'task % has no open tool call %', _id, _call_id
      using errcode = 'TQ001', hint = 'append_turn proposes the calls of a message; a call that has ended stays as it is';
  end if;
  verdict := 'run';
  if _allowed is not null and not _allowed ? _call.tool then
    verdict := 'blocked';
    reason := format('%s is not among the tools of this task (%s)', _call.tool,
                     coalesce(nullif((select string_agg(n, ', ') from jsonb_array_elements_text(_allowed) n), ''), 'none'));
  elsif _call.declined_by is not null then
    verdict := 'blocked';
    reason := format('a person (%s) refused this call%s', _call.declined_by, coalesce(': ' || nullif(btrim(_call.declined_note), ''), ''));
  elsif _call.needs_approval and _call.approved_by is null then
    verdict := 'approve';
  elsif _call.status = 'proposed' then
    reason := taskq.count_call(_task);
    verdict := case when reason is null then 'run' else 'over' end;
  end if;
  if verdict = 'run' then
    update taskq.tool_calls c set status = 'started', started_at = clock_timestamp(), attempt = _task.attempt, effect = coalesce(_effect, c.effect)
    where c.task_id = _id and c.call_id = _call_id;
  end if;
  return next;
end $$;
comment on function taskq.intend(uuid, uuid, bigint, text, text) is
  'For workers: commits the intent of a tool call, or says what stands against it; TQ002 when the lease is lost.';

-- settle_call: the outcome of a call, and the message that tells the model of it, in one transaction.
create function taskq.settle_call(_worker uuid, _id uuid, _lease bigint, _call_id text, _status text, _output text, _artifact text,
                                  _seq integer, _body text, _simulated boolean) returns void
language plpgsql as $$
declare
  _task taskq.tasks := taskq.hold(_worker, _id, _lease);
begin
  if _seq is not null and not taskq.add_message(_id, _task.attempt, _seq, 'user', _body, null, null, null, _simulated, null, null) then
    return;
  end if;
  update taskq.tool_calls c
  set status = _status, output = left(_output, 1000), artifact = _artifact, finished_at = clock_timestamp(), attempt = _task.attempt
  where c.task_id = _id and c.call_id = _call_id and c.finished_at is null;
end $$;
comment on function taskq.settle_call(uuid, uuid, bigint, text, text, text, text, integer, text, boolean) is
  'For workers: commits the outcome of a tool call with the message that answers it; TQ002 when the lease is lost.';

create view taskq.tool_statistics as
select c.tool, c.actor as role, count(*) as calls,
       count(*) filter (where c.status = 'success') as success, count(*) filter (where c.status = 'error') as error,
       count(*) filter (where c.status = 'timeout') as timeout, count(*) filter (where c.status = 'blocked') as blocked,
       count(*) filter (where c.status = 'unknown') as unknown,
       percentile_cont(0.5) within group (order by c.finished_at - c.started_at) as p50,
       percentile_cont(0.95) within group (order by c.finished_at - c.started_at) as p95,
       max(c.proposed_at) as last_at
from taskq.tool_calls c
group by c.tool, c.actor
order by c.tool, c.actor;
comment on view taskq.tool_statistics is 'By tool and role: how often it was called, how that ended, how long it took.';
comment on column taskq.tool_statistics.tool is 'The tool.';
comment on column taskq.tool_statistics.role is 'The role that called it.';
comment on column taskq.tool_statistics.calls is 'All calls.';
comment on column taskq.tool_statistics.success is 'Those that did what they should.';
comment on column taskq.tool_statistics.error is 'Those that failed.';
comment on column taskq.tool_statistics.timeout is 'Those that took too long.';
comment on column taskq.tool_statistics.blocked is 'Those that were refused.';
comment on column taskq.tool_statistics.unknown is 'Those whose outcome a crash hid.';
comment on column taskq.tool_statistics.p50 is 'How long half of them took at most.';
comment on column taskq.tool_statistics.p95 is 'How long 95 of 100 took at most.';
comment on column taskq.tool_statistics.last_at is 'When it was last asked for.';
