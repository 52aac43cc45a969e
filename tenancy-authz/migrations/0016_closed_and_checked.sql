-- What a deployment can have given away by default, and what two tables could hold by mistake.

SET LOCAL ROLE tenancy_owner;

-- As in `roles`, for the keys that no foreign key leads there: a role is gone before its key is retired, and
-- what a template did to it stays on record after it.
ALTER TABLE tenancy.retired_roles ADD CONSTRAINT retired_roles_key_check
    CHECK (char_length(key) <= 63 AND key ~ '^[a-z][a-z0-9_]*$');
ALTER TABLE tenancy.role_upgrades ADD CONSTRAINT role_upgrades_role_key_check
    CHECK (char_length(role_key) <= 63 AND role_key ~ '^[a-z][a-z0-9_]*$');

SET LOCAL ROLE tenancy_definer;

-- Default privileges of the definer that name a role gave it every function that was created under them, and
-- taking functions from PUBLIC took nothing of that back. Whom they name, outside of the family, loses what they
-- gave and what they would give. A role that they don't name keeps what somebody granted to it; what they give to
-- a role of the family is for the doctor to tell of, since it is meant to have some of it.
DO $$
DECLARE
    favoured record;
    open_to_it regprocedure;
BEGIN
    FOR favoured IN
        SELECT DISTINCT r.oid, r.rolname AS name, n.nspname AS in_schema
        FROM pg_catalog.pg_default_acl d
        LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
        CROSS JOIN LATERAL aclexplode(d.defaclacl) a
        JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
        WHERE d.defaclrole = 'tenancy_definer'::regrole AND d.defaclobjtype = 'f'
          AND r.rolname NOT IN ('tenancy_definer', 'tenancy_owner', 'tenancy_app', 'tenancy_worker')
    LOOP
        EXECUTE format(
            'ALTER DEFAULT PRIVILEGES %s REVOKE EXECUTE ON ROUTINES FROM %I',
            'IN SCHEMA ' || quote_ident(favoured.in_schema), favoured.name
        );
        FOR open_to_it IN
            SELECT p.oid FROM pg_catalog.pg_proc p
            CROSS JOIN LATERAL aclexplode(p.proacl) a
            WHERE p.proowner = 'tenancy_definer'::regrole AND a.grantee = favoured.oid
              AND p.pronamespace IN ('tenancy'::regnamespace, 'util'::regnamespace)
        LOOP
            EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM %I', open_to_it, favoured.name);
        END LOOP;
    END LOOP;
END
$$;

SET LOCAL ROLE NONE;
