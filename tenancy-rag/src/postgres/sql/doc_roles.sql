-- role: app
-- Who may read a document, asked by anybody; NULL where there is none. $1 document.
SELECT tenancy.kb_doc_roles($1)
