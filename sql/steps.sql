-- Steps: durable steps, sleeps, signals and children of a running task.
select 1;
