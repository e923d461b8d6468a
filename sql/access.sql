-- Access: three group roles to grant to your own users.  Where the installing user may not create roles, a database
-- owner does it by hand; everything works for the owner of the schema without them.
--   taskq_reader    looks          taskq_client   inserts tasks, and looks          taskq_operator   acts, inserts and looks
-- Workers run as the owner of the schema, or as a user who was granted what they need.

do $$
declare
  _role text;
begin
  foreach _role in array '{taskq_reader,taskq_client,taskq_operator}'::text[] loop
    if not exists (select from pg_roles where rolname = _role) then
      begin
        execute format('create role %I nologin', _role);
      exception
        when insufficient_privilege then raise notice 'role % was not created: this user may not create roles', _role;
        when duplicate_object or unique_violation then null;   -- another database of this server was first
      end;
    end if;
  end loop;
end $$;

-- what is not for people is not for everybody: functions are public unless this is said
revoke execute on all functions in schema taskq from public;

do $$
begin
  if (select count(*) from pg_roles where rolname in ('taskq_reader', 'taskq_client', 'taskq_operator')) < 3 then
    return;
  end if;
  begin
    grant taskq_reader to taskq_client;
    grant taskq_client to taskq_operator;
  exception when insufficient_privilege then
    raise notice 'the group roles are another user''s, who grants them to each other';
  end;
  grant usage on schema taskq to taskq_reader;
  grant select on all tables in schema taskq to taskq_reader;
  -- what opens doors is for the functions alone; of tokens everything else is shown
  revoke select on taskq.tokens, taskq.sessions from taskq_reader;
  grant select (id, name, scopes, created_by, created_at, expires_at, last_used_at, revoked_at, revoked_by) on taskq.tokens to taskq_reader;
  grant execute on function taskq.explain(uuid), taskq.unmet(uuid), taskq.doom(uuid[]), taskq.brood(uuid), taskq.ago(interval), taskq.today(),
    taskq.number_in(jsonb, text), taskq.tokens_in(jsonb), taskq.tokens_out(jsonb),
    taskq.uuid7() to taskq_reader;
  execute (select format('grant insert (%s) on taskq.tasks to taskq_client', string_agg(quote_ident(c), ', ')) from unnest(taskq.insertable()) c);
  grant execute on function taskq.enqueue(jsonb), taskq.with_ids(jsonb), taskq.insert_statement(jsonb),
    taskq.insertable(), taskq.await(uuid), taskq.bell_class(), taskq.keep_up(text) to taskq_client;
  grant execute on function taskq.cancel(uuid, text, text), taskq.retry(uuid, text, text), taskq.requeue(uuid, text, text),
    taskq.rerun(uuid, text, text), taskq.approve(uuid, text, text), taskq.reject(uuid, text, text),
    taskq.complete(uuid, jsonb, text, text), taskq.tend() to taskq_operator;
  grant execute on function taskq.set_gate(text, text, integer, bigint, text), taskq.resume_gate(text, text, text),
    taskq.set_budget(text, text, jsonb, text) to taskq_operator;
  grant execute on function taskq.steer(uuid, text, text), taskq.pause(uuid, text, text) to taskq_operator;
  grant execute on function taskq.signal(uuid, text, jsonb, text), taskq.fork(uuid, text, text) to taskq_operator;
  grant execute on function taskq.check_tasks(jsonb), taskq.line(text), taskq.explain_pause(text)
    to taskq_client;
  grant execute on function taskq.amend(uuid, jsonb, text, text), taskq.decline_call(uuid, text, text),
    taskq.amend_call(uuid, jsonb, text, text), taskq.dispatch() to taskq_operator;
  grant execute on function taskq.pause_role(text, text, text), taskq.resume_role(text, text, text),
    taskq.save_template(text, jsonb, text), taskq.drop_template(text) to taskq_operator;
  grant execute on function taskq.create_token(text, text[], bytea, interval, text), taskq.revoke_token(text, text),
    taskq.open_session(uuid, bytea, interval), taskq.close_session(bytea), taskq.credentials(), taskq.touch_tokens(uuid[])
    to taskq_operator;
end $$;
