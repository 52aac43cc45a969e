-- The same rules as before, said in a way that costs less for each entry. The rows that are there are looked at once
-- more, and one of their indexes is made anew, which keeps writers out meanwhile.

SET LOCAL ROLE tenancy_owner;

-- A uuid v7 begins with 48 bits of milliseconds, so that its bytes can be compared with those of a time.
ALTER TABLE tenancy.audit_logs
    DROP CONSTRAINT audit_logs_id_time,
    ADD CONSTRAINT audit_logs_id_time CHECK (
        get_byte(uuid_send(id), 6) >> 4 = 7
        AND uuid_send(id) >= int8send(((date_part('epoch', created_at) * 1000)::bigint - 86400000) << 16)
        AND uuid_send(id) < int8send(((date_part('epoch', created_at) * 1000)::bigint + 86400001) << 16)
    );

-- In the order of pages, as the others are: a job may write many entries under one request.
DROP INDEX tenancy.audit_logs_request;
CREATE INDEX audit_logs_request ON tenancy.audit_logs (tenant_id, request_id, id) WHERE request_id IS NOT NULL;

SET LOCAL ROLE NONE;
