-- Gate: the rate limits of model providers, shared by all workers.
--
-- A gate is a row: two token buckets and a pause.  Every call passes two of them, its model's and the provider's ('*').
-- Whoever takes from a bucket holds its row, '*' first, and reads the clock only then: who read it before he waited for
-- the lock would fill the bucket for a time that another has already filled it for.

-- filled: how much a bucket holds by now.  It holds at most what a minute brings.
create function taskq.filled(_left double precision, _per_minute double precision, _since timestamptz, _now timestamptz)
returns double precision language sql immutable parallel safe
return least(_per_minute, _left + _per_minute * greatest(extract(epoch from _now - _since)::double precision, 0) / 60);
comment on function taskq.filled(double precision, double precision, timestamptz, timestamptz) is
  'What a bucket of this size holds now, if it held that much then; null for one without a limit.';

-- seconds_short: how long until a bucket holds what is asked for.  More than it can ever hold counts as all of it.
create function taskq.seconds_short(_filled double precision, _per_minute double precision, _asked double precision)
returns double precision language sql immutable parallel safe
return coalesce(greatest(least(_asked, _per_minute) - _filled, 0) * 60 / _per_minute, 0);
comment on function taskq.seconds_short(double precision, double precision, double precision) is
  'The seconds until a bucket holds what is asked for; 0 for one without a limit.';

-- hold_gates: the gates of these models, locked in one order.  Who may pass one or another of several holds them all first.
-- Only those that count: a fleet without limits should not queue up for one row.
create function taskq.hold_gates(_provider text, _models text[]) returns void
language plpgsql as $$
declare
  _missing text[] := array(select distinct m from unnest('*'::text || _models) m
                           where not exists (select from taskq.gates g where g.provider = _provider and g.model = m) order by m);
begin
  if _missing <> '{}' then
    insert into taskq.gates (provider, model) select _provider, m from unnest(_missing) m on conflict do nothing;
  end if;
  perform from taskq.gates g
  where g.provider = _provider and g.model = any('*'::text || _models) and (g.requests_per_minute is not null or g.tokens_per_minute is not null)
  order by g.model <> '*', g.model for no key update;
end $$;
comment on function taskq.hold_gates(text, text[]) is 'Locks the gates of a provider and of these models that have a limit, in one order; makes those that are missing.';

-- pass_gate: may this call go out now?  Then it is counted.  If not, nothing is written.
-- The wait is at most a minute, and up to a quarter longer than needed: a pause may be lifted meanwhile, and what
-- waited together should not return together.
create function taskq.pass_gate(_provider text, _model text, _tokens bigint) returns double precision
language plpgsql as $$
declare
  _now timestamptz;
  _wait double precision;
begin
  perform taskq.hold_gates(_provider, array[_model]);
  _now := clock_timestamp();
  select max(greatest(
    case when g.paused_until = 'infinity' then 60 else coalesce(extract(epoch from g.paused_until - _now)::double precision, 0) end,
    taskq.seconds_short(taskq.filled(g.requests, g.requests_per_minute, g.filled_at, _now), g.requests_per_minute, 1),
    taskq.seconds_short(taskq.filled(g.tokens, g.tokens_per_minute, g.filled_at, _now), g.tokens_per_minute, _tokens)))
  into _wait
  from taskq.gates g where g.provider = _provider and g.model in ('*', _model);
  if _wait > 0 then
    return least(_wait * (1 + random() / 4), 60);
  end if;
  update taskq.gates g
  set requests = coalesce(taskq.filled(g.requests, g.requests_per_minute, g.filled_at, _now) - 1, 0),
      tokens = coalesce(taskq.filled(g.tokens, g.tokens_per_minute, g.filled_at, _now) - _tokens, 0),
      filled_at = _now
  where g.provider = _provider and g.model in ('*', _model)
    and (g.requests_per_minute is not null or g.tokens_per_minute is not null);
  return 0;
end $$;
comment on function taskq.pass_gate(text, text, bigint) is
  'For workers: seconds to wait, at most 60, before this call of about so many tokens; 0 when it may go out, and then it is counted.';

-- pause_gate: the provider said "later" (429, 529): to all.  The later of two pauses stands.
create function taskq.pause_gate(_provider text, _model text, _for interval, _reason text) returns void
language sql as $$
  insert into taskq.gates as g (provider, model, paused_until, reason)
  values (_provider, _model, clock_timestamp() + coalesce(_for, interval '30 s'), left(_reason, 500))
  on conflict (provider, model) do update
  set paused_until = excluded.paused_until, reason = excluded.reason
  where g.paused_until is null or g.paused_until < excluded.paused_until
$$;
comment on function taskq.pause_gate(text, text, interval, text) is
  'For workers: nobody asks this model for so long (30 s when the provider did not say); the later of two pauses stands.';

-- tune_gate: what the provider's headers say of a model; null is not said.
-- Limits that a person set stand: they may be a share of the account's, so what is left is only ever corrected downwards.
-- Otherwise tokens are taken as the provider counts them (we counted the worst case), requests as the smaller number:
-- those that are on their way to it are missing from its count.
create function taskq.tune_gate(_provider text, _model text, _requests integer, _requests_left integer,
                                _tokens bigint, _tokens_left bigint) returns void
language plpgsql as $$
declare
  _gate taskq.gates;
  _now timestamptz;
begin
  insert into taskq.gates (provider, model) select _provider, _model
  where not exists (select from taskq.gates g where g.provider = _provider and g.model = _model)
  on conflict do nothing;
  select * into _gate from taskq.gates g where g.provider = _provider and g.model = _model for no key update;
  _now := clock_timestamp();
  _gate.requests := taskq.filled(_gate.requests, _gate.requests_per_minute, _gate.filled_at, _now);
  _gate.tokens := taskq.filled(_gate.tokens, _gate.tokens_per_minute, _gate.filled_at, _now);
  if _gate.set_by is null then
    _gate.requests_per_minute := coalesce(nullif(greatest(_requests, 0), 0), _gate.requests_per_minute);
    _gate.tokens_per_minute := coalesce(nullif(greatest(_tokens, 0), 0), _gate.tokens_per_minute);
  end if;
  update taskq.gates g
  set requests_per_minute = _gate.requests_per_minute, tokens_per_minute = _gate.tokens_per_minute,
      requests = coalesce(least(_gate.requests, _requests_left, _gate.requests_per_minute), 0),
      tokens = coalesce(case when _gate.set_by is null then least(coalesce(_tokens_left, _gate.tokens), _gate.tokens_per_minute)
                             else least(_gate.tokens, _tokens_left) end, _gate.tokens_per_minute, 0),
      filled_at = _now
  where g.provider = _provider and g.model = _model;
end $$;
comment on function taskq.tune_gate(text, text, integer, integer, bigint, bigint) is
  'For workers: corrects the buckets of a model by the limits and remainders in the provider''s headers; null is not said.';

-- exhaust_gate: the account may spend no more.  Nobody asks until a person resumes it, and the person is told.
create function taskq.exhaust_gate(_provider text, _reason text) returns void
language plpgsql as $$
begin
  insert into taskq.gates (provider, model, paused_until, reason) values (_provider, '*', 'infinity', left(_reason, 500))
  on conflict (provider, model) do update set paused_until = 'infinity', reason = excluded.reason;
  perform taskq.alert('exhausted:' || _provider,
    format('%s will do no more work: %s.  When that is settled: select taskq.resume_gate(%L)', _provider, _reason, _provider));
end $$;
comment on function taskq.exhaust_gate(text, text) is
  'For workers: the provider''s spend limit is reached; it is paused until somebody resumes it, and an alert is inserted.';

-- alert: something that a person must hear of.  It is a task, like everything that must happen.
create function taskq.alert(_kind text, _text text) returns uuid
language sql as $$
  select (taskq.enqueue(jsonb_build_array(jsonb_build_object(
    'role', 'alert', 'name', left(_kind, 200), 'payload', jsonb_build_object('kind', _kind, 'text', _text),
    'dedup_key', 'alert:' || _kind))))[1]
$$;
comment on function taskq.alert(text, text) is
  'For workers: inserts a task of the role alert that says this; while one of its kind is live, that one stands.';

-- set_gate: a person sets the limits, for a provider as a whole ('*') or one of its models.
create function taskq.set_gate(_provider text, _model text, _requests_per_minute integer, _tokens_per_minute bigint,
                               _actor text default null) returns void
language plpgsql security definer set search_path = '' as $$
declare
  _set_by text := case when _requests_per_minute is not null or _tokens_per_minute is not null then coalesce(_actor, session_user) end;
begin
  if _requests_per_minute <= 0 or _tokens_per_minute <= 0 then
    raise exception 'a limit of % requests and % tokens a minute lets nothing pass', _requests_per_minute, _tokens_per_minute
      using errcode = 'TQ001', hint = 'give positive numbers, or null for no limit';
  end if;
  insert into taskq.gates as g (provider, model, requests_per_minute, tokens_per_minute, requests, tokens, set_by)
  values (_provider, coalesce(_model, '*'), _requests_per_minute, _tokens_per_minute,
          coalesce(_requests_per_minute, 0), coalesce(_tokens_per_minute, 0), _set_by)
  on conflict (provider, model) do update
  set requests_per_minute = excluded.requests_per_minute, tokens_per_minute = excluded.tokens_per_minute,
      requests = excluded.requests, tokens = excluded.tokens, filled_at = clock_timestamp(), set_by = excluded.set_by;
end $$;
comment on function taskq.set_gate(text, text, integer, bigint, text) is
  'Sets how many requests and tokens a minute a provider''s model takes (* for all of its models together); null is no limit, two nulls leave it to the provider''s headers.';

-- resume_gate: a person lifts a pause.
create function taskq.resume_gate(_provider text, _model text default '*', _actor text default null) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  update taskq.gates g
  set paused_until = null, reason = format('resumed by %s', coalesce(_actor, session_user))
  where g.provider = _provider and g.model = _model and g.paused_until is not null;
  return found;
end $$;
comment on function taskq.resume_gate(text, text, text) is
  'Lifts the pause of a provider (*) or of one of its models; what waits for it goes on within a minute.  False when it was not paused.';
