-- role: app
-- Lets nobody else change the policy of the context's tenant until the transaction ends.
-- Answers a word, what it is about, and the epoch.
SELECT outcome, detail, before FROM tenancy.lock_policy()
