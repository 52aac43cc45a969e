-- role: app
-- Source and readers of a document, asked by anybody. $1 document. Index: primary key.
SELECT source_id, allowed_roles FROM tenancy.kb_doc_place($1)
