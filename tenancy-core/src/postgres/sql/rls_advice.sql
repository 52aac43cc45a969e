-- role: operator
-- What stands against a table, by the ids of the doctor's rules, the gravest first.
-- $1: the table, as SQL writes it. $2: the tenant column.
SELECT rule, severity, detail, fix FROM tenancy.table_advice($1::text::regclass, $2::text::name)
