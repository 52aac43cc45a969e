-- role: operator
-- Takes a table from the app; answers with the statements that were run.
-- $1: the table, as SQL writes it.
SELECT tenancy.unprotect_table($1::text::regclass)
