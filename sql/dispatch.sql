-- Dispatch: what can run now, what cannot, and why; and one look more by whoever sleeps.

-- dispatch: rings the bell for every role that has something ready.
create function taskq.dispatch()
returns table (role text, ready bigint, scheduled bigint, blocked bigint, awaiting_approval bigint, workers bigint, slots bigint,
               paused boolean, rung boolean, why text)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
  for role, ready, scheduled, blocked, awaiting_approval, workers, slots, paused in
    select o.role, o.ready, o.scheduled, o.blocked, o.awaiting_approval, o.workers, o.slots, o.paused
    from taskq.overview o
    where o.ready + o.scheduled + o.blocked + o.awaiting_approval + o.workers > 0 or o.paused
    order by o.role
  loop
    rung := ready > 0 and not paused and taskq.ring(array[role]);
    why := taskq.why_or_why_not(role, ready, scheduled, blocked, awaiting_approval, workers, slots, paused);
    return next;
  end loop;
end $$;
comment on function taskq.dispatch() is
  'Wakes who sleeps for every role that has something ready, and says of each role in a line what can run now, what cannot, and why.';

-- why_or_why_not: how a role stands, in a line.
create function taskq.why_or_why_not(_role text, _ready bigint, _scheduled bigint, _blocked bigint, _awaiting bigint,
                                     _workers bigint, _slots bigint, _paused boolean) returns text
language sql stable as $$
  select coalesce(nullif(concat_ws('; ',
    case when _paused then coalesce(taskq.explain_pause(_role), 'paused') || format('; to resume it: select taskq.resume_role(%L)', _role) end,
    case when _ready = 0 then null
         when _paused then format('%s could run but for that', _ready)
         when _workers = 0 then format('%s could run, but no live worker plays it; start one: taskq worker --roles %s', _ready, _role)
         else format('%s can run now: %s %s, %s %s', _ready, _workers, case _workers when 1 then 'worker' else 'workers' end,
                     _slots, case _slots when 1 then 'slot' else 'slots' end) end,
    case when _scheduled > 0 then _scheduled || case _scheduled when 1 then ' waits for its time' else ' wait for their time' end end,
    case when _blocked > 0 then _blocked || case _blocked when 1 then ' waits for tasks' else ' wait for tasks' end end,
    case when _awaiting > 0 then _awaiting || case _awaiting when 1 then ' awaits a person' else ' await a person' end end), ''),
    'nothing waits')
$$;
comment on function taskq.why_or_why_not(text, bigint, bigint, bigint, bigint, bigint, bigint, boolean) is
  'How a role stands, in a line: what can run now, what cannot, and why.';
