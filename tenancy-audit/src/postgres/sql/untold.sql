-- role: operator (tenancy_owner)
-- Which streams have yet to tell of entries, and of how many. Parameters: tenant, or NULL for all; action, or
-- `prefix%`, or NULL for all; older than, or NULL; ids from and to (exclusive), where there is no such time.
SELECT stream, entries FROM tenancy.audit_untold(
    $1, $2, coalesce($4, '00000000-0000-0000-0000-000000000000'::uuid), coalesce(tenancy.uuid_v7_floor($3), $5))
