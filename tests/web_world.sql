-- $1 finished tasks over the last week, oldest first, as they would lie in the table.
insert into taskq.tasks (id, role, name, payload, status, max_attempts, timeout, mission_id, created_by, attempt, run_at,
                         created_at, started_at, finished_at, result, error, error_kind)
select i.id, (array['resize', 'send_digest', 'embed_document', 'render_report'])[1 + n % 4], 'filler ' || n,
       jsonb_build_object('n', n, 'path', 'picture-' || n || '.png'), s.status, 4, '30 min', i.id, 'shop', 1,
       a.at, a.at, a.at + interval '0.2 s', a.at + interval '1.4 s',
       case when s.status = 'completed' then jsonb_build_object('bytes', n) end,
       case when s.status = 'failed' then '503 from https://api.mail.example' end,
       case s.status when 'failed' then 'external_service' when 'cancelled' then 'cancelled' end
from generate_series(1, $1::integer) n,
     lateral (select now() - interval '7 days' * (1 - (n - 1)::float8 / $1::integer) - interval '10 s' as at) a,
     lateral (select (lpad(to_hex((extract(epoch from a.at) * 1000)::bigint), 12, '0')
                      || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid as id) i,
     lateral (select (case when n % 97 = 0 then 'failed' when n % 211 = 0 then 'cancelled' else 'completed' end)::taskq.status as status) s
order by n
