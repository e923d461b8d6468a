-- Figures: how much, how fast, how well.

-- name: throughput
-- For each bucket of $2 in the last $1: when it begins, what was completed and what failed, how long the line was waited in
-- (p50, p95) and how long an attempt took (p50), in seconds.  Buckets in which nothing ended are there, too.
select b.at, coalesce(e.completed, 0) as completed, coalesce(e.failed, 0) as failed, e.wait_p50, e.wait_p95, e.seconds_p50
from generate_series(date_bin($2::interval, now() - $1::interval, 'epoch'), now(), $2::interval) b (at)
left join (
  select t.at, count(*) filter (where t.status = 'completed') as completed, count(*) filter (where t.status = 'failed') as failed,
         percentile_cont(0.5) within group (order by t.waited) as wait_p50, percentile_cont(0.95) within group (order by t.waited) as wait_p95,
         percentile_cont(0.5) within group (order by t.took) filter (where t.status = 'completed') as seconds_p50
  from (select t.status, date_bin($2::interval, t.finished_at, 'epoch') as at,
               date_part('epoch', t.started_at - greatest(t.run_at, t.created_at)) as waited, date_part('epoch', t.finished_at - t.started_at) as took
        from taskq.tasks t
        where t.finished_at > now() - $1::interval and t.status in ('completed', 'failed')) t
  group by t.at) e using (at)
order by b.at
