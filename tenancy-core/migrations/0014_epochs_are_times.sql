-- An epoch never comes twice: it is the time of the change in microseconds, or one more than the epoch
-- before where that is later. A number that only counts up comes again, with other content, after a restore
-- or a failover that lost commits, and would confirm what caches remember.

SET LOCAL ROLE tenancy_owner;

-- Also a tenant that is made again under an id that was purged.
ALTER TABLE tenancy.tenant_epoch
    ALTER COLUMN epoch SET DEFAULT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint;

SET LOCAL ROLE tenancy_definer;

-- Every function that counts an epoch up, in its own words but for that. The time is the statement's: a
-- cluster of shards takes no volatile function in an UPDATE.
DO $$
DECLARE
    one oid;
BEGIN
    FOR one IN
        SELECT p.oid FROM pg_proc p
        WHERE p.proowner = 'tenancy_definer'::regrole AND position('SET epoch = epoch + 1' IN p.prosrc) > 0
    LOOP
        EXECUTE replace(
            pg_get_functiondef(one),
            'SET epoch = epoch + 1',
            'SET epoch = greatest(epoch + 1, (extract(epoch FROM statement_timestamp()) * 1000000)::pg_catalog.int8)'
        );
    END LOOP;
END
$$;

SET LOCAL ROLE NONE;
