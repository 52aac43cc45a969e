-- role: app, not prepared: a block, run as the app
-- Makes tenants as the app makes one.
-- Setting tenancy_doctor.input: [{tenant, user, slug}, …]. Setting tenancy_doctor.output: [answer, …].
DO $block$
DECLARE
    job jsonb;
    answer text;
    answers jsonb := '[]';
BEGIN
    FOR job IN
        SELECT j.v FROM jsonb_array_elements(current_setting('tenancy_doctor.input')::jsonb) AS j (v)
    LOOP
        PERFORM set_config('tenancy.tenant_id', job ->> 'tenant', true), set_config('tenancy.user_id', job ->> 'user', true);
        answer := tenancy.create_tenant(job ->> 'slug', 'doctor', (job ->> 'user')::uuid);
        IF answer <> 'ok' THEN
            RAISE EXCEPTION 'tenancy.create_tenant answered %', answer;
        END IF;
        answers := answers || to_jsonb(answer);
    END LOOP;
    PERFORM set_config('tenancy_doctor.output', answers::text, true);
END
$block$
