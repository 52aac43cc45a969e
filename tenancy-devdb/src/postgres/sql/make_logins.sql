-- role: superuser
-- The logins of a development server. None is a superuser: what works here works on a managed one.
DO $$
DECLARE
    login record;
BEGIN
    FOR login IN
        SELECT * FROM (VALUES
            ('tenancy_dev_operator', 'CREATEROLE CREATEDB'),
            ('tenancy_dev_app', 'NOCREATEROLE NOCREATEDB'),
            ('tenancy_dev_worker', 'NOCREATEROLE NOCREATEDB')
        ) AS l (name, may)
    LOOP
        IF to_regrole(login.name) IS NULL THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS %s', login.name, login.may);
        END IF;
    END LOOP;
END
$$
