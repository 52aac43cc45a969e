-- role: worker
-- Stores seals and goes on to an entry. Parameters: transaction it comes from; transaction, tenant and id
-- it goes on to; then one array a column; time, key, signatures.
SELECT tenancy.audit_seal_store(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
