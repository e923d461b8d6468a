-- Access tokens: who may come in over HTTP.  The secrets never come here; clients make them and keep their digests here.

-- create_token: a new way in.
create function taskq.create_token(_name text, _scopes text[], _digest bytea, _expires_in interval default null, _actor text default null)
returns uuid
language plpgsql security definer set search_path = '' as $$
declare
  _unknown text := (select string_agg(s, ', ') from unnest(_scopes) s where s <> all ('{read,dispatch,operate,admin}'));
  _id uuid;
begin
  if _unknown is not null or coalesce(cardinality(_scopes), 0) = 0 then
    raise exception 'a token has some of the scopes read, dispatch, operate, admin, not: %', coalesce(_unknown, 'none')
      using errcode = 'TQ001', hint = 'name one at least; each is granted by itself';
  elsif coalesce(length(_name), 0) not between 1 and 200 then
    raise exception 'a token has a name of 1 to 200 characters' using errcode = 'TQ001', hint = 'say who uses it, and for what';
  elsif _expires_in <= interval '0' then
    raise exception 'token % would have expired already', _name using errcode = 'TQ001', hint = 'give it a time to come, or none';
  end if;
  insert into taskq.tokens (name, scopes, digest, expires_at, created_by)
  values (_name, array(select distinct s from unnest(_scopes) s order by s), _digest, clock_timestamp() + _expires_in,
          coalesce(_actor, session_user))
  on conflict (name) where revoked_at is null do nothing
  returning id into _id;
  if _id is null then
    raise exception 'there is a live token called %', _name
      using errcode = 'TQ001', hint = format('choose another name, or revoke that one: select taskq.revoke_token(%L)', _name);
  end if;
  return _id;
end $$;
comment on function taskq.create_token(text, text[], bytea, interval, text) is
  'Lets a new token in, by the SHA-256 of its secret, for a while or until it is revoked; returns its id.  TQ001 for an unknown scope or a name that is taken.';

-- revoke_token: it is good for nothing from now on, and whoever logged in with it is out.
create function taskq.revoke_token(_name_or_id text, _actor text default null) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
  _id uuid := (select t.id from taskq.tokens t
               where t.revoked_at is null and (t.name = _name_or_id or t.id::text = _name_or_id)
               order by t.name = _name_or_id desc limit 1);
begin
  update taskq.tokens t set revoked_at = clock_timestamp(), revoked_by = coalesce(_actor, session_user)
  where t.id = _id and t.revoked_at is null;
  if not found then
    raise exception 'there is no live token %', _name_or_id using errcode = 'TQ003', hint = 'look for it with: taskq token list';
  end if;
  -- a new statement: it sees the session that was opened while the row was waited for
  delete from taskq.sessions s where s.token_id = _id;
  return _id;
end $$;
comment on function taskq.revoke_token(text, text) is
  'Revokes a live token, by its name or id, and ends the sessions that it opened; returns its id.  TQ003 when there is none.';

-- open_session: a browser logs in with a token.
create function taskq.open_session(_token uuid, _digest bytea, _for interval) returns timestamptz
language plpgsql security definer set search_path = '' as $$
declare
  _until timestamptz;
begin
  -- locked: a token that is being revoked is waited for, and then it is no more
  select least(clock_timestamp() + _for, t.expires_at) into _until
  from taskq.tokens t
  where t.id = _token and t.revoked_at is null and (t.expires_at is null or t.expires_at > clock_timestamp())
  for share;
  if not found then
    raise exception 'token % is no good: it was revoked, has expired, or never was', _token
      using errcode = 'TQ003', hint = 'make a new one: taskq token create NAME --scope read';
  end if;
  delete from taskq.sessions s where s.expires_at < clock_timestamp();
  insert into taskq.sessions (digest, token_id, expires_at) values (_digest, _token, _until);
  return _until;
end $$;
comment on function taskq.open_session(uuid, bytea, interval) is
  'Logs a browser in with a live token, for so long at most; returns until when.  TQ003 when the token is revoked or has expired.';

-- close_session: it logs out.
create function taskq.close_session(_digest bytea) returns boolean
language sql security definer set search_path = '' as $$
  with gone as (delete from taskq.sessions s where s.digest = _digest returning 1)
  select exists (select from gone)
$$;
comment on function taskq.close_session(bytea) is 'Logs a browser out; false when it was not logged in.';

-- credentials: all that opens a door now; one look for a whole process, every few seconds.
create function taskq.credentials()
returns table (digest bytea, kind text, token_id uuid, name text, scopes text[], expires_at timestamptz)
language sql stable security definer set search_path = '' as $$
  with live as (
    select t.* from taskq.tokens t where t.revoked_at is null and (t.expires_at is null or t.expires_at > clock_timestamp()))
  select l.digest, 'token', l.id, l.name, l.scopes, l.expires_at from live l
  union all
  select s.digest, 'session', l.id, l.name, l.scopes, s.expires_at
  from live l join taskq.sessions s on s.token_id = l.id
  where s.expires_at > clock_timestamp()
$$;
comment on function taskq.credentials() is 'The digests that are good now, of tokens and of sessions, with what each may do.';

-- touch_tokens: these were used.  To the minute: a busy token is not a busy row.
create function taskq.touch_tokens(_ids uuid[]) returns void
language sql security definer set search_path = '' as $$
  update taskq.tokens t set last_used_at = clock_timestamp()
  where t.id = any(array(
    select u.id from taskq.tokens u
    where u.id = any(_ids) and (u.last_used_at is null or u.last_used_at < clock_timestamp() - interval '1 min')
    for no key update skip locked))   -- whoever has it locked is touching or revoking it
$$;
comment on function taskq.touch_tokens(uuid[]) is 'Keeps that these tokens were used now, to the minute.';
