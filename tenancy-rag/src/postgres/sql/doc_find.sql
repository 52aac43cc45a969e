-- role: app
-- A document by its place, whoever may read it. $1 source, $2 uri. Index: unique uri.
SELECT id, allowed_roles FROM tenancy.kb_find_doc($1, $2)
