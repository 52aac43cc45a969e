-- role: worker
-- Puts a batch back under the run's key by compare-and-set; NULL if the run is over.
-- $1 tenant, $2 run, $3 last row looked at, $4 ids, $5 old keys, $6 generations, $7 envelopes.
-- Index: primary keys.
SELECT tenancy.store_rotated($1, $2, $3, $4, $5, $6, $7)
