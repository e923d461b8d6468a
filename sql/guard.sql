-- The guard: a status changes along an arrow, through a function, or not at all.

-- Functions say around their UPDATE which verb it is: taskq.begin('cancel') … taskq.done().  (A SET clause of the
-- function would end by itself, but only superusers may write one for a setting that the server does not know.)
-- The two hot arrows never come here: the trigger's WHEN lets them pass (a plpgsql body on every row costs 9 %).
create function taskq.refuse_what_is_no_arrow() returns trigger
language plpgsql as $$
declare
  _way_out text;
begin
  if not exists (select from taskq.arrows a where a."from" = old.status and a."to" = new.status) then
    _way_out := case
      when old.status = 'completed' then format('call taskq.rerun(%L) for a new task that does it again', old.id)
      when old.status in ('failed', 'cancelled') then format('call taskq.retry(%L), or taskq.rerun(%1$L) for a new task', old.id)
      else format('call taskq.explain(%L) to see what it waits for', old.id)
    end;
    raise exception 'task % is %, which cannot become %', old.id, old.status, new.status
      using errcode = 'TQ004', hint = _way_out;
  end if;
  if coalesce(current_setting('taskq.verb', true), '') = '' then
    _way_out := case new.status
      when 'cancelled' then format('taskq.cancel(%L, reason, actor)', old.id)
      when 'queued' then case old.status
        when 'awaiting_approval' then format('taskq.approve(%L, actor, note)', old.id)
        when 'in_progress' then format('taskq.requeue(%L, reason, actor)', old.id)
        when 'blocked' then format('taskq.explain(%L): its dependencies queue it', old.id)
        else format('taskq.retry(%L, reason, actor)', old.id) end
      when 'completed' then format('taskq.complete(%L, result, actor)', old.id)
      when 'blocked' then format('taskq.retry(%L, reason, actor)', old.id)
      when 'in_progress' then 'taskq.exchange(…), as workers do'
      else format('taskq.cancel(%L, reason, actor)', old.id)
    end;
    raise exception 'a status is not set by hand: what waits for task % would never hear of it', old.id
      using errcode = 'TQ004', hint = 'call ' || _way_out;
  end if;
  return new;
end $$;
comment on function taskq.refuse_what_is_no_arrow() is 'Trigger: refuses a change of status that is no arrow, or that no function of this schema makes.';

create function taskq.begin(_verb text) returns void language sql as $$ select set_config('taskq.verb', _verb, true) $$;
comment on function taskq.begin(text) is 'The next change of status is this verb; the guard lets it pass.';

create function taskq.done() returns void language sql as $$ select set_config('taskq.verb', '', true) $$;
comment on function taskq.done() is 'The change of status is made; the guard is up again.';

create trigger guard before update of status on taskq.tasks for each row
when (old.status is distinct from new.status
      and not (old.status = 'queued' and new.status = 'in_progress' and new.lease is not null)
      and not (old.status = 'in_progress' and new.status = 'completed' and new.lease is null))
execute function taskq.refuse_what_is_no_arrow();
