-- role: superuser
-- The extension has to be there before a migration asks for it: making it takes a superuser.
CREATE EXTENSION IF NOT EXISTS vector
