-- The bell: NOTIFY takes a lock on the whole database at commit, so it rings only when someone sleeps.
--
-- Who makes a row runnable takes a shared lock on the role until its commit, and then looks for sleepers.
-- Who goes to sleep marks itself, commits, and then tries the exclusive lock: while anybody is between his
-- look and his commit the try fails, and the worker looks again soon.  Once it succeeds, whoever comes later
-- sees the mark; one last claim finds whoever came before.  Nobody ever blocks for longer than that try.
-- Who locks a queued row without claiming it rings too: a last claim may have skipped the row.

-- the two keys of the advisory lock of a role
create function taskq.bell_class() returns integer language sql immutable parallel safe
return 7731;
comment on function taskq.bell_class() is 'The first key of every advisory lock of the bell.';

-- keep_up: from here to the end of this transaction nobody who plays this role falls asleep.
-- An expression: as a statement (`perform`) it would cost ten times as much, at every insert.
create function taskq.keep_up(_role text) returns boolean language sql as $$
  select pg_advisory_xact_lock_shared(taskq.bell_class(), hashtext(_role)) is not null
$$;
comment on function taskq.keep_up(text) is 'Keeps the workers that play this role from falling asleep until this transaction ends; look for sleepers after it.  Always true.';

-- ring: somebody asleep plays one of these roles; wake him at commit.
create function taskq.ring(_roles text[]) returns boolean
language plpgsql as $$
declare
  _role text;
  _held boolean;
begin
  if cardinality(_roles) > 1 then
    _roles := array(select distinct r from unnest(_roles) r where r is not null order by r);
  end if;
  foreach _role in array coalesce(_roles, '{}') loop
    _held := taskq.keep_up(_role);
  end loop;
  -- a new statement, so a new snapshot: marks that were committed before we got the lock are seen
  if not exists (select from taskq.sleepers s where s.role = any(_roles)) then
    return false;
  end if;
  perform pg_notify('taskq', s.role) from (select distinct role from taskq.sleepers where role = any(_roles)) s;
  return true;
end $$;
comment on function taskq.ring(text[]) is 'Wakes the workers that sleep and play one of these roles, when this transaction commits; true when there are any.';

-- doze: is nobody in between his look for sleepers and his commit?  Then the next claim is the last one.
create function taskq.doze(_roles text[]) returns boolean
language plpgsql as $$
declare
  _role text;
begin
  foreach _role in array _roles loop
    if not pg_try_advisory_lock(taskq.bell_class(), hashtext(_role)) then
      return false;
    end if;
    perform pg_advisory_unlock(taskq.bell_class(), hashtext(_role));
  end loop;
  return true;
end $$;
comment on function taskq.doze(text[]) is 'For a worker that has marked itself asleep: true once every insert that missed the mark has committed.';
