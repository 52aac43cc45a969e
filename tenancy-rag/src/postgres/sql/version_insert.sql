-- role: app
-- The text of a version. $1 tenant, $2 document, $3 version, $4 text, $5 upload (or NULL), $6 roles.
INSERT INTO tenancy.kb_doc_versions (tenant_id, doc_id, version, text, original, allowed_roles)
VALUES ($1, $2, $3, $4, $5, $6)
