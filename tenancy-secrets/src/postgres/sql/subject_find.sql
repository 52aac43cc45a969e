-- role: app
-- A subject's key, or that it was erased. $1 tenant, $2 hash of the subject. Index: subject_keys_subject.
SELECT id, encrypted FROM tenancy.subject_keys WHERE tenant_id = $1 AND subject_hash = $2
