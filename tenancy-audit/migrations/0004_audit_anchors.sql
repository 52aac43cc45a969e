-- What each anchor has, so that heads that were not published when a sealer died are published by the next one.

SET LOCAL ROLE tenancy_owner;

-- The newest seal of each tenant that a place has. It only saves work: who sets it higher than it is hides that
-- a head is missing there until the tenant's next seal, and an anchor is read, not this.
CREATE TABLE tenancy.audit_anchored (
    tenant_id uuid NOT NULL,
    place text COLLATE "C" NOT NULL CHECK (octet_length(place) BETWEEN 1 AND 255),
    number bigint NOT NULL CHECK (number > 0),
    PRIMARY KEY (tenant_id, place)
);
SELECT tenancy.protect_table('tenancy.audit_anchored', '{select}');
SELECT tenancy.admit_definer('tenancy.audit_anchored');

SET LOCAL ROLE tenancy_definer;

-- The newest seals of the next tenants behind this one, of those that a place does not have.
CREATE FUNCTION tenancy.audit_unanchored(p_place text, p_after uuid, p_tenants integer)
    RETURNS SETOF tenancy.audit_seals
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    WITH RECURSIVE sealed (tenant_id) AS (
        (SELECT s.tenant_id FROM tenancy.audit_seals s WHERE s.tenant_id > p_after ORDER BY s.tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT s.tenant_id FROM tenancy.audit_seals s WHERE s.tenant_id > p.tenant_id ORDER BY s.tenant_id LIMIT 1)
        FROM sealed p WHERE p.tenant_id IS NOT NULL
    )
    SELECT (newest.seal).*
    FROM sealed p
    CROSS JOIN LATERAL (
        SELECT s AS seal, s.number FROM tenancy.audit_seals s WHERE s.tenant_id = p.tenant_id ORDER BY s.number DESC LIMIT 1
    ) newest
    WHERE newest.number > coalesce(
        (SELECT a.number FROM tenancy.audit_anchored a WHERE a.tenant_id = p.tenant_id AND a.place = p_place), 0)
    LIMIT least(greatest(p_tenants, 1), 1000);
    END;

-- Says what a place has.
CREATE FUNCTION tenancy.audit_set_anchored(p_place text, p_tenants uuid[], p_numbers bigint[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
    INSERT INTO tenancy.audit_anchored AS a (tenant_id, place, number)
    SELECT n.tenant_id, p_place, n.number FROM unnest(p_tenants, p_numbers) AS n (tenant_id, number)
    ON CONFLICT (tenant_id, place) DO UPDATE SET number = greatest(a.number, excluded.number);
    END;

REVOKE EXECUTE ON FUNCTION
    tenancy.audit_unanchored(text, uuid, integer),
    tenancy.audit_set_anchored(text, uuid[], bigint[])
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    tenancy.audit_unanchored(text, uuid, integer),
    tenancy.audit_set_anchored(text, uuid[], bigint[])
TO tenancy_worker;

SET LOCAL ROLE NONE;
