-- Turns: one transaction before a model call, one after it.

-- append_message: a message is finished; what it cost is never paid again.
create function taskq.append_message(_worker uuid, _id uuid, _lease bigint, _seq integer, _role text, _body text,
                                     _stop_reason text, _model text, _usage jsonb, _simulated boolean) returns void
language plpgsql as $$
declare
  _task taskq.tasks := taskq.hold(_worker, _id, _lease);
begin
  insert into taskq.messages (task_id, seq, role, body, stop_reason, model, usage, simulated, attempt)
  values (_id, _seq, _role, _body, _stop_reason, _model, _usage, _simulated, _task.attempt)
  on conflict (task_id, seq) do nothing;
  -- the same message again is a worker that did not hear our answer; another one is a bug
  if not found and not exists (select from taskq.messages m where m.task_id = _id and m.seq = _seq and m.body = _body) then
    raise exception 'task % has another message %', _id, _seq
      using errcode = 'TQ001', hint = 'a conversation only grows: read it again, and go on after its end';
  end if;
end $$;
comment on function taskq.append_message(uuid, uuid, bigint, integer, text, text, text, text, jsonb, boolean) is
  'For workers: commits one finished message of a running task; TQ002 when the lease is lost.';
