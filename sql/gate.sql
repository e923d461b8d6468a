-- Gate: the rate limits of model providers, shared by all workers.
select 1;
