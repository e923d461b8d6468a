-- Budgets: the worst case is reserved before a call, the truth settled after it.
select 1;
