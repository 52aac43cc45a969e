-- The core's rule that no epoch comes twice (its 0014), for the functions of this crate that count one up.

SET LOCAL ROLE tenancy_definer;

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
