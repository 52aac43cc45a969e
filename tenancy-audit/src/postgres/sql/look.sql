-- role: app
-- Up to where a tail looks. Parameters: the snapshot that it has seen; the later one, or none for the current one; the
-- transaction and the entry behind which to go on; how many entries of whichever tenant to look at.
-- Index: audit_logs_order.
SELECT until, to_txid, to_entry, more FROM tenancy.audit_look($1, $2, $3, $4, $5)
