-- Pauses: roles that nobody claims.  What runs goes on; what is queued keeps its place in the line.
--
-- Sleepers of a paused role stay marked, and the bell still rings for what is inserted: a ring that looked whether the
-- role is paused could miss a resume that commits at that moment, and the wake-up would be lost.

-- unpaused: those of these roles that may be claimed, in the same order.
create function taskq.unpaused(_roles text[]) returns text[]
language sql stable as $$
  select array(select r from unnest(_roles) with ordinality u (r, n)
               where not exists (select from taskq.role_pauses p where p.role = r) order by n)
$$;
comment on function taskq.unpaused(text[]) is 'Those of these roles that are not paused, in order.';

-- pause_role: from the next claim on nobody takes a task of this role.
create function taskq.pause_role(_role text, _reason text default null, _actor text default null) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  if coalesce(length(_role), 0) not between 1 and 200 then
    raise exception 'a role is a name of 1 to 200 characters' using errcode = 'TQ001', hint = 'taskq roles shows those that there are';
  end if;
  insert into taskq.role_pauses (role, reason, actor) values (_role, left(_reason, 8192), coalesce(_actor, session_user))
  on conflict (role) do nothing;
  if not found then
    return false;
  end if;
  perform taskq.note_of_role(_role, 'pause_role', _actor, _reason);
  return true;
end $$;
comment on function taskq.pause_role(text, text, text) is
  'Has nobody claim a role until taskq.resume_role; what runs goes on.  False when it was paused already: then reason and actor stay those of the first.';

-- resume_role: its tasks can run again, and whoever sleeps wakes for them.
create function taskq.resume_role(_role text, _reason text default null, _actor text default null) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  delete from taskq.role_pauses p where p.role = _role;
  if not found then
    return false;
  end if;
  perform taskq.note_of_role(_role, 'resume_role', _actor, _reason);
  -- last, as an insert does it: who marks himself after this look finds our lock in his way until we have committed
  perform taskq.ring(array[_role]);
  return true;
end $$;
comment on function taskq.resume_role(text, text, text) is 'Lets workers claim a paused role again and wakes those that sleep; false when it was not paused.';

-- note_of_role: an event of a role.
create function taskq.note_of_role(_role text, _verb text, _actor text, _reason text) returns void
language sql as $$
  insert into taskq.events (role, verb, actor, reason) values (_role, _verb, coalesce(_actor, session_user), left(_reason, 8192))
$$;
comment on function taskq.note_of_role(text, text, text, text) is 'Writes an event of a role.';
