-- What happened outside of every tenant: refused logins, refused entries. For the operator only.

SET LOCAL ROLE tenancy_owner;

-- One row a minute for each event that is the same in all its columns, with how often it happened:
-- a flood of refusals fills a counter and not the disk. What a caller named is kept as what he named;
-- it may not exist. No row-level security: no tenant's row is in here, and nobody but the operator
-- reads it.
CREATE TABLE tenancy.platform_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    minute timestamptz NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (char_length(kind) <= 63 AND kind ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$'),
    code text COLLATE "C" NOT NULL CHECK (char_length(code) <= 63 AND code ~ '^[a-z][a-z0-9_]*$'),
    tenant_named uuid,
    actor text COLLATE "C" CHECK (octet_length(actor) <= 128),
    address inet,
    count bigint NOT NULL CHECK (count > 0),
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL CHECK (last_at >= first_at),
    CONSTRAINT platform_log_event
        UNIQUE NULLS NOT DISTINCT (minute, kind, code, tenant_named, actor, address)
);
GRANT SELECT, INSERT, UPDATE (count, last_at) ON tenancy.platform_log TO tenancy_definer;

SET LOCAL ROLE tenancy_definer;

-- Adds to the log, and can do nothing else. The order is for those who add the same at once.
CREATE FUNCTION tenancy.note_platform_events(p_events jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    happened pg_catalog.timestamptz := clock_timestamp();
BEGIN
    INSERT INTO tenancy.platform_log AS l
        (minute, kind, code, tenant_named, actor, address, count, first_at, last_at)
    SELECT date_trunc('minute', happened, 'UTC'), e.kind, e.code, e.tenant, e.actor, e.address,
        sum(e.count), happened, happened
    FROM jsonb_to_recordset(p_events) AS e (
        kind pg_catalog.text, code pg_catalog.text, tenant pg_catalog.uuid, actor pg_catalog.text,
        address pg_catalog.inet, count pg_catalog.int8
    )
    GROUP BY e.kind, e.code, e.tenant, e.actor, e.address
    ORDER BY e.kind, e.code, e.tenant, e.actor, e.address
    ON CONFLICT ON CONSTRAINT platform_log_event DO UPDATE
    SET count = l.count + excluded.count, last_at = greatest(l.last_at, excluded.last_at);
END
$$;
REVOKE EXECUTE ON FUNCTION tenancy.note_platform_events(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenancy.note_platform_events(jsonb) TO tenancy_app;

SET LOCAL ROLE NONE;
