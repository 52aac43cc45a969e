-- Partitions for months before those that a new log has; {months} is put into its place.
DO $$
BEGIN
    FOR back IN 2 .. {months} LOOP
        EXECUTE format('CREATE TABLE tenancy.audit_logs_back_%s PARTITION OF tenancy.audit_logs FOR VALUES FROM (%L) TO (%L)',
            back,
            tenancy.uuid_v7_floor(date_trunc('month', now() - make_interval(months => back), 'UTC')),
            tenancy.uuid_v7_floor(date_trunc('month', now() - make_interval(months => back - 1), 'UTC')));
    END LOOP;
END
$$
