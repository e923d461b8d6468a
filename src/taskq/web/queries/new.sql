-- What the form of a new mission offers, by name.  Nothing here writes.

-- name: offers
-- The roles that workers declared or play, the templates, and the repositories of the newest tasks that name one.
select
  (select coalesce(json_agg(r order by r.name), '[]') from (
     select n.name, d.description, coalesce(d.kind, 'function') as kind, d.model, coalesce(d.repositories, '{}') as repositories,
            (select count(*) from taskq.workers_live w where n.name = any(w.roles) and not w.draining) as workers,
            (select p.actor from taskq.role_pauses p where p.role = n.name) as paused_by
     from (select name from taskq.roles union select unnest(w.roles) from taskq.workers_live w) n left join taskq.roles d using (name)) r) as roles,
  (select coalesce(json_agg(t.name order by t.name), '[]') from taskq.templates t) as templates,
  (select coalesce(json_agg(distinct c.repository order by c.repository), '[]') from (
     select t.payload ->> 'repository' as repository from (select payload from taskq.tasks order by id desc limit 2000) t
     where jsonb_typeof(t.payload -> 'repository') = 'string' limit 500) c) as checkouts

-- name: template
select name, task, created_by, updated_at from taskq.templates where name = $1

-- name: found
-- Tasks that somebody may mean ($1: a part of a name, a role or an id), the newest first: of the newest 5000, and by a whole id.
select t.id, t.role, t.name, t.status, t.created_at
from (
  (select n.* from (select * from taskq.tasks order by id desc limit 5000) n
   where n.name ilike '%' || $1 || '%' or n.role ilike '%' || $1 || '%' or n.id::text like '%' || lower($1)
   order by n.id desc limit 20)
  union
  (select * from taskq.tasks
   where id = case when $1 ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then cast($1 as text)::uuid end)) t
order by t.created_at desc, t.id desc
limit 20

-- name: named
select t.id, t.role, t.name, t.status from taskq.tasks t where t.id = any($1::uuid[]) order by t.id
