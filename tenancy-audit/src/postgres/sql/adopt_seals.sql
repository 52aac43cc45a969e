-- role: operator (tenancy_owner)
-- Keeps seals of entries that were adopted. Parameters: one array a column; time, key, signatures.
SELECT tenancy.audit_adopt_seals($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
