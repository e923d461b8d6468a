-- Templates: saved missions, for people who dispatch the same thing again.

-- save_template: a new one, or another task under the same name.
create function taskq.save_template(_name text, _task jsonb, _actor text default null) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if coalesce(length(_name), 0) not between 1 and 200 then
    raise exception 'a template has a name of 1 to 200 characters' using errcode = 'TQ001', hint = 'say what the mission is';
  elsif jsonb_typeof(_task) is distinct from 'object' then
    raise exception 'a template is a JSON object' using errcode = 'TQ001', hint = 'give it the columns of a task, role and payload';
  end if;
  insert into taskq.templates (name, task, created_by) values (_name, _task, coalesce(_actor, session_user))
  on conflict (name) do update set task = excluded.task, created_by = excluded.created_by, updated_at = clock_timestamp();
end $$;
comment on function taskq.save_template(text, jsonb, text) is 'Keeps a task under a name for the form; what had that name is replaced.';

-- drop_template: it is not needed any more.
create function taskq.drop_template(_name text) returns boolean
language sql security definer set search_path = '' as $$
  with gone as (delete from taskq.templates t where t.name = _name returning 1)
  select exists (select from gone)
$$;
comment on function taskq.drop_template(text) is 'Takes a template away; false when there was none of this name.';
