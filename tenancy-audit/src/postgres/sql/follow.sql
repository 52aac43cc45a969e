-- role: app
-- Entries of a tenant that one snapshot does not see and a later one does, by transaction and id. Uses
-- audit_logs_txid: what lies between the snapshots is read, of all tenants.
-- Parameters: tenant; the snapshots; the transaction and the entry behind which to go on; how many.
SELECT tenant_id, id, actor_user_id, actor_kind, actor_id, on_behalf_of, action, resource, outcome,
       targets, context, personal, commitments, request_id, meta, redacted, truncated,
       schema_version, content_hash, created_at, txid::text AS txid
FROM tenancy.audit_logs
WHERE tenant_id = $1
  AND txid >= pg_snapshot_xmin($2::text::pg_snapshot)
  AND txid < pg_snapshot_xmax($3::text::pg_snapshot)
  AND (txid, id) > ($4::text::xid8, $5)
  AND NOT pg_visible_in_snapshot(txid, $2::text::pg_snapshot)
  AND pg_visible_in_snapshot(txid, $3::text::pg_snapshot)
ORDER BY audit_logs.txid, id
LIMIT $6
