-- Dry run: what would become of tasks, without a trace of them.

-- check_tasks: they are enqueued in a subtransaction that is always taken back, so that a check can never differ from the
-- real thing.  The rows, the locks and the bell go with it; what was learned stays in a variable.
create function taskq.check_tasks(_tasks jsonb) returns table (id uuid, role text, status taskq.status, note text)
language plpgsql set search_path = '' as $$
#variable_conflict use_column
declare
  _given jsonb := taskq.with_ids(_tasks);
  _ids uuid[];
  _found jsonb;
begin
  begin
    _ids := taskq.enqueue(_given);
    _found := (
      select jsonb_agg(jsonb_build_object('id', t.id, 'role', t.role, 'status', t.status, 'note', nullif(concat_ws('; ',
          case when t.id <> (g.task ->> 'id')::uuid then format('would return live task %s, which has this dedup_key', t.id) end,
          case when t.status in ('failed', 'cancelled') then 'would end at once: ' || taskq.line(t.error) end,
          'role ' || t.role || ' is ' || taskq.explain_pause(t.role),
          case when t.finished_at is null and not exists (
                 select from taskq.workers_live w where t.role = any(w.roles) and not w.draining)
               then format('no live worker plays role %s', t.role) end), '')) order by g.n)
      from jsonb_array_elements(_given) with ordinality g (task, n) join taskq.tasks t on t.id = _ids[g.n::integer]);
    -- not TQ000: that names its whole class, and would swallow the refusals
    raise exception 'this was a dry run' using errcode = 'TQDRY';
  exception when sqlstate 'TQDRY' then
    null;
  end;
  return query
    select (f.task ->> 'id')::uuid, f.task ->> 'role', (f.task ->> 'status')::taskq.status, f.task ->> 'note'
    from jsonb_array_elements(_found) with ordinality f (task, n) order by f.n;
end $$;
comment on function taskq.check_tasks(jsonb) is
  'What taskq.enqueue would make of these tasks, in order, with a note where one would not run soon; raises what it would raise, and writes nothing.';
