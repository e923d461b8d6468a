-- Tools: the ledger of tool calls, and what a role may call.
select 1;
