insert into taskq.tasks (role, payload) values ('noop', '{"n": 1}');
