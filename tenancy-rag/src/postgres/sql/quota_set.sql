-- role: app
-- Sets the limits of the context's tenant. $1 bytes, $2 documents, $3 chunks. Answers a word.
SELECT tenancy.kb_set_limits($1, $2, $3)
