-- Clear: take the logic away before it is laid again (`create or replace` cannot change what a function returns or a
-- view shows).  What a column default calls belongs to the structure and stays.

do $$
declare
  _drop text;
begin
  for _drop in
    select format('drop view if exists taskq.%I cascade', viewname) from pg_views where schemaname = 'taskq'
    union all
    select format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass)
    from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where not t.tgisinternal and c.relnamespace = 'taskq'::regnamespace
  loop
    execute _drop;
  end loop;
  -- all names first: one that was dropped with another has none any more
  foreach _drop in array array(
    select format('drop routine if exists %s cascade', p.oid::regprocedure)
    from pg_proc p
    where p.pronamespace = 'taskq'::regnamespace
      and not exists (select from pg_depend d where d.refclassid = 'pg_proc'::regclass and d.refobjid = p.oid
                      and d.classid = 'pg_attrdef'::regclass))
  loop
    execute _drop;
  end loop;
end $$;
