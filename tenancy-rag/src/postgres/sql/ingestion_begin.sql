-- role: app
-- Begins an ingestion. $1 tenant, $2 id, $3 source, $4 uri, $5 title, $6 media type, $7 roles,
-- $8 lease in milliseconds.
INSERT INTO tenancy.kb_ingestions (tenant_id, id, source_id, uri, title, media_type, allowed_roles,
    started_by, lease_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, util.current_actor_id(),
    clock_timestamp() + $8::bigint * interval '1 millisecond')
