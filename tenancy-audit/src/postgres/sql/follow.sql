-- role: app
-- Entries of a tenant that one snapshot does not see and a later one does, by transaction and id: of transactions that
-- ran at the first one, each looked up, and of those that began later, up to where the look ends. Nothing else is read,
-- however long a transaction has been open. Index: audit_logs_order.
-- Parameters: tenant; the snapshots; the transaction and the entry behind which to go on; those at which the look ends;
-- how many.
SELECT tenant_id, id, actor_user_id, actor_kind, actor_id, on_behalf_of, action, resource, outcome,
       targets, context, personal, commitments, request_id, meta, redacted, truncated,
       schema_version, content_hash, created_at, found.txid::text AS txid
FROM (
    (SELECT * FROM tenancy.audit_logs
     WHERE tenant_id = $1
       AND txid = ANY (ARRAY(
           SELECT ran.xid FROM pg_snapshot_xip($2::text::pg_snapshot) AS ran (xid)
           WHERE pg_visible_in_snapshot(ran.xid, $3::text::pg_snapshot)))
       AND (txid, id) > ($4::text::xid8, $5)
     ORDER BY txid, id LIMIT $8)
    UNION ALL
    (SELECT * FROM tenancy.audit_logs
     WHERE tenant_id = $1
       -- One bound from below, where the stretch begins: of two the index may take the one that lies further back.
       AND (txid, tenant_id, id) > (
           greatest($4::text::xid8, pg_snapshot_xmax($2::text::pg_snapshot)), $1,
           CASE WHEN $4::text::xid8 >= pg_snapshot_xmax($2::text::pg_snapshot) THEN $5::uuid
               ELSE '00000000-0000-0000-0000-000000000000'::uuid END)
       AND (txid, tenant_id, id) <= ($6::text::xid8, $1, $7)
       AND pg_visible_in_snapshot(txid, $3::text::pg_snapshot)
     ORDER BY txid, id LIMIT $8)
) AS found
ORDER BY found.txid, id
LIMIT $8
