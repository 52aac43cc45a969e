-- role: worker
-- All streams, by name. Index: audit_logs_order.
SELECT name, tenant, delivered, delivered_at, failures, code, parked_at, running, restored, waiting_since
FROM tenancy.audit_stream_list()
