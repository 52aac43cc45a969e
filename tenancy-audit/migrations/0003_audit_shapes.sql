-- What a row may look like, for whoever writes SQL by hand: everything that readers can't make sense of is
-- refused. Sizes leave room above what the crate writes.

SET LOCAL ROLE tenancy_owner;

ALTER TABLE tenancy.audit_logs
    ADD CONSTRAINT audit_logs_targets_shape CHECK (
        pg_column_size(targets) <= 262144
        -- The second path takes an array for its elements.
        AND NOT jsonb_path_exists(targets, 'strict $[*] ? (@.type() != "object")')
        AND NOT jsonb_path_exists(targets, '$[*] ? (!(@.kind.type() == "string" && @.id.type() == "string"))')
    ),
    ADD CONSTRAINT audit_logs_context_shape CHECK (pg_column_size(context) <= 16384),
    ADD CONSTRAINT audit_logs_personal_shape CHECK (
        pg_column_size(personal) <= 1048576 AND pg_column_size(commitments) <= 262144
    ),
    -- What a 64-bit float does not hold can't be read back.
    ADD CONSTRAINT audit_logs_numbers CHECK (
        NOT jsonb_path_exists(meta,
            'strict $.** ? (@.type() == "number" && (@ > 1.7976931348623158e308 || @ < -1.7976931348623158e308))')
        AND NOT jsonb_path_exists(personal,
            'strict $.** ? (@.type() == "number" && (@ > 1.7976931348623158e308 || @ < -1.7976931348623158e308))')
    );

SET LOCAL ROLE NONE;
