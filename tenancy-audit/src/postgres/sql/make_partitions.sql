-- role: worker
-- Makes the partitions of the coming months. Parameters: how many months ahead.
SELECT partition_name, state FROM tenancy.audit_make_partitions($1)
