-- role: operator
-- Confines a table; answers with the statements that were missing.
-- $1: the table, as SQL writes it. $2: what the app may do. $3: the tenant column.
SELECT tenancy.protect_table($1::text::regclass, $2::text[], $3::text::name)
