-- Turns: one transaction before a model call, one after it.

-- begin_turn: may this task ask a model now?  What people said comes first, then the budgets and the provider's gate.
-- _models in order of preference; _tokens and _costs: the worst case of a call of each.
-- Verdicts: ask (model), hear (steers are to be taken), pause (reason), wait (seconds), over (reason: a budget).
create function taskq.begin_turn(_worker uuid, _id uuid, _lease bigint, _seq integer, _provider text,
                                 _models text[], _tokens bigint[], _costs numeric[])
returns table (verdict text, model text, seconds double precision, reason text)
language plpgsql as $$
declare
  _task taskq.tasks := taskq.hold(_worker, _id, _lease);
  _wait double precision;
begin
  select case s.verb when 'pause' then 'pause' else 'hear' end, s.text into verdict, reason
  from taskq.steers s where s.task_id = _id and s.done_at is null order by s.verb, s.id limit 1;
  if found then
    return next;
    return;
  end if;
  perform taskq.hold_gates(_provider, _models);   -- in one order, whichever of them it prefers
  for _n in 1 .. cardinality(_models) loop
    _wait := taskq.pass_gate(_provider, _models[_n], _tokens[_n]);
    if _wait <= 0 then
      reason := taskq.reserve(_task, _seq, _tokens[_n], _costs[_n]);
      verdict := case when reason is null then 'ask' else 'over' end;
      model := _models[_n];
      seconds := 0;
      return next;
      return;
    end if;
    seconds := least(seconds, _wait);
  end loop;
  verdict := 'wait';
  reason := (select g.reason from taskq.gates g where g.provider = _provider and g.model = any(array_append(_models, '*'))
             order by g.paused_until desc nulls last limit 1);
  return next;
end $$;
comment on function taskq.begin_turn(uuid, uuid, bigint, integer, text, text[], bigint[], numeric[]) is
  'For workers: whether a task may ask a model now, and which; reserves the worst case.  TQ002 when the lease is lost.';

-- hold_back: a call brought nothing; for a limit nobody asks again before the time is over.
-- Gates before budgets, as in begin_turn: the order in which all lock.
create function taskq.hold_back(_worker uuid, _id uuid, _lease bigint, _provider text, _model text, _for interval, _reason text,
                                _exhausted boolean, _may_have_charged boolean) returns void
language plpgsql as $$
begin
  perform taskq.hold(_worker, _id, _lease);
  if _exhausted then
    perform taskq.exhaust_gate(_provider, _reason);
  elsif _for is not null then
    perform taskq.pause_gate(_provider, _model, _for, _reason);
  end if;
  if _may_have_charged then
    delete from taskq.reservations r where r.task_id = _id;   -- it stays used
  else
    perform taskq.unreserve(_id);
  end if;
end $$;
comment on function taskq.hold_back(uuid, uuid, bigint, text, text, interval, text, boolean, boolean) is
  'For workers: a model call brought nothing; pauses the model''s gate for a while, or the provider''s until somebody resumes it, and gives back what was reserved unless it may have been charged.';

-- learn_limits: what the provider's answer said of its limits.
create function taskq.learn_limits(_worker uuid, _id uuid, _lease bigint, _provider text, _model text, _requests integer, _requests_left integer,
                                   _tokens bigint, _tokens_left bigint) returns void
language plpgsql as $$
begin
  perform taskq.hold(_worker, _id, _lease);
  perform taskq.tune_gate(_provider, _model, _requests, _requests_left, _tokens, _tokens_left);
end $$;
comment on function taskq.learn_limits(uuid, uuid, bigint, text, text, integer, integer, bigint, bigint) is
  'For workers: corrects a gate from the headers of an answer.';

-- add_message: the next message of a conversation.  The same one again is a worker that did not hear our answer.
create function taskq.add_message(_id uuid, _attempt smallint, _seq integer, _role text, _body text, _stop_reason text, _model text,
                                  _usage jsonb, _simulated boolean, _request_id text, _cost numeric) returns boolean
language plpgsql as $$
begin
  insert into taskq.messages (task_id, seq, role, body, stop_reason, model, usage, simulated, attempt, request_id, cost)
  values (_id, _seq, _role, _body, _stop_reason, _model, _usage, _simulated, _attempt, _request_id, _cost)
  on conflict (task_id, seq) do nothing;
  if found then
    return true;
  elsif not exists (select from taskq.messages m where m.task_id = _id and m.seq = _seq and m.body = _body) then
    raise exception 'task % has another message %', _id, _seq
      using errcode = 'TQ001', hint = 'a conversation only grows: read it again, and go on after its end';
  end if;
  return false;
end $$;
comment on function taskq.add_message(uuid, smallint, integer, text, text, text, text, jsonb, boolean, text, numeric) is
  'Adds a message to a conversation; false when it is there already, TQ001 when another one is.';

-- append_turn: a message is finished; what it cost is never paid again.
-- _tokens: what the call used, which settles its reservation; null for a message of ours.
-- _calls: the tool calls in it: [{"call_id", "tool", "effect", "input", "needs_approval"}].  _steers: what people said that it tells.
create function taskq.append_turn(_worker uuid, _id uuid, _lease bigint, _seq integer, _role text, _body text, _stop_reason text,
                                  _model text, _usage jsonb, _simulated boolean, _request_id text, _cost numeric, _tokens bigint,
                                  _calls jsonb, _steers bigint[], _note text) returns void
language plpgsql as $$
declare
  _task taskq.tasks := taskq.hold(_worker, _id, _lease);
begin
  if not taskq.add_message(_id, _task.attempt, _seq, _role, _body, _stop_reason, _model, _usage, _simulated, _request_id, _cost) then
    return;
  end if;
  if _tokens is not null then
    perform taskq.settle(_id, _tokens, coalesce(_cost, 0));
  end if;
  if _calls is not null then
    insert into taskq.tool_calls (task_id, call_id, turn, place, tool, actor, effect, input, needs_approval, attempt)
    select _id, c ->> 'call_id', _seq, n - 1, c ->> 'tool', _task.role, c ->> 'effect', left(c ->> 'input', 4000),
           coalesce((c ->> 'needs_approval')::boolean, false), _task.attempt
    from jsonb_array_elements(_calls) with ordinality u (c, n);
  end if;
  if _steers <> '{}' then
    update taskq.steers s set done_at = clock_timestamp(), seq = _seq where s.task_id = _id and s.id = any(_steers);
  end if;
  if _note is not null then
    update taskq.tasks t set progress_note = left(_note, 500) where t.id = _id;
  end if;
end $$;
comment on function taskq.append_turn(uuid, uuid, bigint, integer, text, text, text, text, jsonb, boolean, text, numeric, bigint, jsonb, bigint[], text) is
  'For workers: commits one finished message with its tool calls, its cost and a note; TQ002 when the lease is lost.';

-- number_in, tokens_in, tokens_out: what a usage counts.  Expressions alone, so that they are taken into the statements that
-- sum up messages; what is no number counts nothing, for a provider may say anything.
create function taskq.number_in(_object jsonb, _key text) returns numeric
language sql immutable parallel safe
return case when jsonb_typeof(_object -> _key) = 'number' then (_object -> _key)::numeric else 0 end;
comment on function taskq.number_in(jsonb, text) is 'The number under a key of an object; 0 when there is none.';

create function taskq.tokens_in(_usage jsonb) returns numeric
language sql immutable parallel safe
return taskq.number_in(_usage, 'input_tokens') + taskq.number_in(_usage, 'cache_creation_input_tokens')
     + taskq.number_in(_usage, 'cache_read_input_tokens');
comment on function taskq.tokens_in(jsonb) is 'The tokens that a turn read, cached or not, by its usage.';

create function taskq.tokens_out(_usage jsonb) returns numeric
language sql immutable parallel safe
return taskq.number_in(_usage, 'output_tokens');
comment on function taskq.tokens_out(jsonb) is 'The tokens that a turn wrote, by its usage.';
