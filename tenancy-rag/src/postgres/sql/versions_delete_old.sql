-- role: app
-- Forgets the texts of earlier versions. $1 tenant, $2 document, $3 the version that stays.
-- Index: primary key.
DELETE FROM tenancy.kb_doc_versions WHERE tenant_id = $1 AND doc_id = $2 AND version <> $3
