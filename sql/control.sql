-- Control: what people say to a running agent.
select 1;
