-- role: app
-- The bytes that a citation points at, if that version is still there and the bound roles may see
-- it. $1 tenant, $2 document, $3 version, $4 first byte, $5 number of bytes, $6 and $7 the same of
-- the upload (or NULL). Index: primary key.
SELECT substring(convert_to(v.text, 'UTF8') FROM $4::integer + 1 FOR $5::integer) AS text,
    substring(v.original FROM $6::integer + 1 FOR $7::integer) AS origin
FROM tenancy.kb_doc_versions v
WHERE v.tenant_id = $1 AND v.doc_id = $2 AND v.version = $3
