-- role: worker
-- Opens a run with a new key, or finds the unfinished one.
-- $1 tenant, $2 run, $3 key, $4 name of the wrapping key, $5 wrapped key. Index: rotation_runs_open.
SELECT id, to_key, state, done, total FROM tenancy.begin_rotation($1, $2, $3, $4, $5)
