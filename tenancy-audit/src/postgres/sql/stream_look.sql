-- role: worker
-- Up to where a stream of one tenant looks. Parameters: name; fence; the transaction that entries have to be below; how
-- many of them to look at. Index: audit_logs_order.
SELECT txid, tenant_id, id FROM tenancy.audit_stream_look($1, $2, $3, $4)
