-- What receivers of the platform are told, from the change that it tells of to the queue.

SET LOCAL ROLE tenancy_owner;

-- Rows are short-lived: a relay takes them. They outlive their tenant, whose end is the last that is
-- told of it. No foreign key to tenants: it would lock the tenant's row at every event.
CREATE TABLE tenancy.webhook_events (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Who is told, as the process that made the change knew it.
    endpoints text[] NOT NULL CHECK (cardinality(endpoints) <= 32),
    -- Text and not jsonb: its bytes are what is signed.
    body text NOT NULL CHECK (octet_length(body) BETWEEN 1 AND 65536),
    PRIMARY KEY (tenant_id, id)
);
-- Across tenants, the oldest first.
CREATE INDEX webhook_events_order ON tenancy.webhook_events (id);

SELECT tenancy.protect_table('tenancy.webhook_events', '{insert}');
REVOKE INSERT ON tenancy.webhook_events FROM tenancy_app;
GRANT INSERT (tenant_id, id, endpoints, body) ON tenancy.webhook_events TO tenancy_app;
SELECT tenancy.admit_definer('tenancy.webhook_events');

SET LOCAL ROLE tenancy_definer;

-- Takes the oldest events of all tenants: they are gone when the caller's transaction commits, and
-- others pass them over until then.
CREATE FUNCTION tenancy.webhook_events_take(p_limit integer)
    RETURNS TABLE (id uuid, endpoints text[], body text)
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH oldest AS MATERIALIZED (
        SELECT w.tenant_id, w.id FROM tenancy.webhook_events w
        ORDER BY w.id LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    ), taken AS (
        DELETE FROM tenancy.webhook_events e USING oldest o
        WHERE e.tenant_id = o.tenant_id AND e.id = o.id
        RETURNING e.id, e.endpoints, e.body
    )
    SELECT t.id, t.endpoints, t.body FROM taken t ORDER BY t.id
$$;

GRANT EXECUTE ON FUNCTION tenancy.webhook_events_take(integer) TO tenancy_worker;

SET LOCAL ROLE NONE;
