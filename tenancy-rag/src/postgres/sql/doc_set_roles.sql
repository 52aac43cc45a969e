-- role: app
-- Who may read a document, in all three places at once. $1 tenant, $2 document, $3 roles.
-- Index: primary keys, kb_chunks_doc.
WITH texts AS (
    UPDATE tenancy.kb_doc_versions SET allowed_roles = $3 WHERE tenant_id = $1 AND doc_id = $2
), chunks AS (
    UPDATE tenancy.kb_chunks SET allowed_roles = $3 WHERE tenant_id = $1 AND doc_id = $2
)
UPDATE tenancy.kb_docs SET allowed_roles = $3, updated_at = clock_timestamp()
WHERE tenant_id = $1 AND id = $2
