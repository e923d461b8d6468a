-- Who may come in: see sql/access_tokens.sql.

-- name: credentials
select digest, kind, token_id, name, scopes from taskq.credentials()

-- name: open_session
select taskq.open_session($1, $2, $3)

-- name: close_session
select taskq.close_session($1)

-- name: touch_tokens
select taskq.touch_tokens($1)
