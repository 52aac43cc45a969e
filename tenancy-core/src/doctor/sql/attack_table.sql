-- role: app, not prepared: a block, run as the app and rolled back with everything it did
-- Tries to reach rows of one tenant from the context of another, in every way that SQL has.
-- Setting tenancy_doctor.input: [{table, column, view, base, a: {tenant, user, row, rows}, b: {…}, why, refers}, …],
-- base: the table whose rows a view shows, else the table itself,
-- refers: [{parent, columns: {column: value}} or {parent, why}, …], what would refer to a row of tenant B.
-- Setting tenancy_doctor.output: [{cell: [verdict, note]}, …].
--
-- UPDATE and DELETE are measured, not done: a condition that names no column, and so needs no right to
-- read, counts the rows that the policies let through and is false for each. It ends with an error at
-- the first row too many, so that even without any policy no row is changed and none is locked.
DO $block$
DECLARE
    job jsonb;
    answer jsonb;
    answers jsonb := '[]';
BEGIN
    FOR job IN
        SELECT j.v FROM jsonb_array_elements(current_setting('tenancy_doctor.input')::jsonb) WITH ORDINALITY AS j (v, place)
        ORDER BY j.place
    LOOP
        answer := '{}';
        DECLARE
            input jsonb := job;
            rel oid := (input ->> 'table')::oid;
            col text := input ->> 'column';
            a jsonb := input -> 'a';
            b jsonb := input -> 'b';
            tenant_a uuid := (input -> 'a' ->> 'tenant')::uuid;
            tenant_b uuid := (input -> 'b' ->> 'tenant')::uuid;
            why text := coalesce(input ->> 'why', 'no row of another tenant could be made');
            is_view boolean := (input ->> 'view')::boolean;
            base oid := (input ->> 'base')::oid;
            -- What it passes on to its table: 4 UPDATE, 8 INSERT, 16 DELETE.
            passes integer := CASE WHEN (input ->> 'view')::boolean
                THEN pg_catalog.pg_relation_is_updatable((input ->> 'table')::oid, true) ELSE 28 END;
            reads boolean := has_column_privilege((input ->> 'table')::oid, input ->> 'column', 'SELECT');
            inserts boolean := passes & 8 <> 0 AND has_column_privilege(rel, col, 'INSERT');
            updates boolean := passes & 4 <> 0 AND has_any_column_privilege(rel, 'UPDATE');
            deletes boolean := passes & 16 <> 0 AND has_table_privilege(rel, 'DELETE');
            rewrites boolean := passes & 4 <> 0 AND has_column_privilege(rel, col, 'UPDATE');
            -- As many rows as tenant A has; one more is another tenant's.
            own bigint := greatest((a ->> 'rows')::bigint, 0);
            counting text := 'CASE WHEN current_setting(''tenancy_doctor.reach'')::bigint < %s
                THEN set_config(''tenancy_doctor.reach'', (current_setting(''tenancy_doctor.reach'')::bigint + 1)::text, true) IS %s
                ELSE ln(-1 - current_setting(''tenancy_doctor.reach'')::float8) > 0 END';
            any_column text;
            seen_a bigint := 0;
            seen_b bigint := 0;
            touched bigint;
            reached_b bigint;
            foreign_row boolean;
            row_now jsonb;
            columns_now text;
            key_columns text;
            verb text;
            statement text;
            verdict text;
            note text;
            mine bigint;
            theirs bigint;
            turn jsonb;
            key jsonb;
            one text;
            reached_a bigint := 0;
        BEGIN
            PERFORM set_config('tenancy_doctor.reach', '0', true),
                set_config('tenancy.roles', 'probe', true), set_config('tenancy.actor_kind', '', true),
                set_config('tenancy.actor_id', '', true), set_config('plan_cache_mode', 'force_generic_plan', true);

            -- What each tenant sees of its own.
            IF reads THEN
                statement := format('SELECT count(*) FROM (SELECT FROM %s WHERE %I = $1 LIMIT 10000) s', rel::regclass, col);
                PERFORM set_config('tenancy.tenant_id', tenant_b::text, true), set_config('tenancy.user_id', b ->> 'user', true);
                EXECUTE statement INTO seen_b USING tenant_b;
                PERFORM set_config('tenancy.tenant_id', tenant_a::text, true), set_config('tenancy.user_id', a ->> 'user', true);
                EXECUTE statement INTO seen_a USING tenant_a;
                -- A view may show a part of its table.
                own := CASE WHEN is_view THEN seen_a ELSE greatest(own, seen_a) END;
            END IF;

            -- select: any row of another tenant, from tenant A.
            IF NOT reads THEN
                answer := answer || '{"select": ["not_granted", null]}';
            ELSE
                EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE %I IS DISTINCT FROM $1)', rel::regclass, col)
                INTO foreign_row USING tenant_a;
                answer := answer || jsonb_build_object('select', CASE
                    WHEN foreign_row THEN jsonb_build_array('leaked', 'SELECT without a predicate shows rows of another tenant')
                    WHEN seen_b = 0 THEN jsonb_build_array('not_exercised', why)
                    ELSE jsonb_build_array('held', NULL) END);
            END IF;

            -- insert: a row of tenant A that names tenant B, so that nothing but the tenant is wrong with it.
            SELECT string_agg(format('%I', t.attname), ', ') INTO columns_now
            FROM pg_catalog.pg_attribute t
            WHERE t.attrelid = rel AND t.attnum > 0 AND NOT t.attisdropped AND t.attgenerated = '' AND t.attidentity <> 'a'
              AND has_column_privilege(rel, t.attnum, 'INSERT')
              AND (NOT is_view OR pg_catalog.pg_column_is_updatable(rel, t.attnum, true))
              AND (t.attname = col OR coalesce(a -> 'row', '{}') ? t.attname);
            IF NOT inserts THEN
                answer := answer || '{"insert": ["not_granted", null]}';
            ELSE
                row_now := coalesce(nullif(a -> 'row', 'null'), '{}') || jsonb_build_object(col, tenant_b);
                BEGIN
                    EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_record(NULL::%s, $1)',
                        rel::regclass, columns_now, columns_now, rel::regclass) USING row_now;
                    RAISE EXCEPTION USING ERRCODE = 'TEN01', MESSAGE = 'a row was inserted for another tenant';
                EXCEPTION
                    WHEN insufficient_privilege THEN
                        answer := answer || '{"insert": ["held", null]}';
                    WHEN SQLSTATE 'TEN01' THEN
                        answer := answer || jsonb_build_object('insert', jsonb_build_array('leaked', SQLERRM));
                    WHEN integrity_constraint_violation THEN
                        answer := answer || jsonb_build_object('insert', CASE WHEN a ->> 'row' IS NULL
                            THEN jsonb_build_array('not_exercised', 'no row could be made: ' || SQLERRM)
                            ELSE jsonb_build_array('leaked', 'policies let a row of another tenant through; only a constraint refused it') END);
                    WHEN OTHERS THEN
                        answer := answer || jsonb_build_object('insert', jsonb_build_array('not_exercised', SQLERRM));
                END;
            END IF;

            -- update, delete: how many rows each reaches.
            SELECT format('%I', t.attname) INTO any_column
            FROM pg_catalog.pg_attribute t
            WHERE t.attrelid = rel AND t.attnum > 0 AND NOT t.attisdropped AND has_column_privilege(rel, t.attnum, 'UPDATE')
              AND (NOT is_view OR pg_catalog.pg_column_is_updatable(rel, t.attnum, true))
            ORDER BY t.attname = col, t.attnum LIMIT 1;
            FOREACH verb IN ARRAY ARRAY['update', 'delete'] LOOP
                IF verb = 'update' AND NOT updates OR verb = 'delete' AND NOT deletes THEN
                    answer := answer || jsonb_build_object(verb, jsonb_build_array('not_granted', NULL));
                    CONTINUE;
                END IF;
                statement := CASE verb
                    WHEN 'update' THEN format('UPDATE %s SET %s = DEFAULT WHERE ', rel::regclass, any_column)
                    ELSE format('DELETE FROM %s WHERE ', rel::regclass) END;
                BEGIN
                    PERFORM set_config('tenancy.tenant_id', tenant_b::text, true), set_config('tenancy.user_id', b ->> 'user', true),
                        set_config('tenancy_doctor.reach', '0', true);
                    BEGIN
                        EXECUTE statement || format(counting, 10000, 'NULL');
                    EXCEPTION WHEN invalid_argument_for_logarithm THEN
                        PERFORM set_config('tenancy_doctor.reach', '10000', true);
                    END;
                    reached_b := current_setting('tenancy_doctor.reach')::bigint;
                    PERFORM set_config('tenancy.tenant_id', tenant_a::text, true), set_config('tenancy.user_id', a ->> 'user', true),
                        set_config('tenancy_doctor.reach', '0', true);
                    EXECUTE statement || format(counting, own, 'NULL');
                    touched := current_setting('tenancy_doctor.reach')::bigint;
                    answer := answer || jsonb_build_object(verb, CASE
                        WHEN reached_b = 0 THEN jsonb_build_array('not_exercised', why)
                        ELSE jsonb_build_array('held', NULL) END);
                EXCEPTION
                    WHEN invalid_argument_for_logarithm THEN
                        touched := 0;
                        answer := answer || jsonb_build_object(verb, jsonb_build_array('leaked',
                            upper(verb) || ' without a predicate reaches rows of another tenant'));
                    WHEN OTHERS THEN
                        touched := 0;
                        answer := answer || jsonb_build_object(verb, jsonb_build_array('not_exercised', SQLERRM));
                END;

                -- rewrite: an own row that is given to tenant B.
                CONTINUE WHEN verb <> 'update';
                reached_a := touched;
                PERFORM set_config('tenancy.tenant_id', tenant_a::text, true), set_config('tenancy.user_id', a ->> 'user', true),
                    set_config('tenancy_doctor.reach', '0', true);
                IF NOT rewrites THEN
                    answer := answer || '{"rewrite": ["not_granted", null]}';
                ELSIF touched = 0 THEN
                    answer := answer || jsonb_build_object('rewrite', jsonb_build_array('not_exercised',
                        CASE WHEN answer -> 'update' ->> 0 = 'leaked' THEN 'update leaks already' ELSE why END));
                ELSE
                    BEGIN
                        EXECUTE format('UPDATE %s SET %I = %L WHERE ', rel::regclass, col, tenant_b) || format(counting, own, 'NOT NULL');
                        GET DIAGNOSTICS touched = ROW_COUNT;
                        RAISE EXCEPTION USING ERRCODE = 'TEN01', MESSAGE = 'a row was given to another tenant';
                    EXCEPTION
                        WHEN insufficient_privilege THEN
                            answer := answer || '{"rewrite": ["held", null]}';
                        WHEN SQLSTATE 'TEN01' THEN
                            answer := answer || jsonb_build_object('rewrite', jsonb_build_array('leaked', SQLERRM));
                        WHEN integrity_constraint_violation THEN
                            answer := answer || jsonb_build_object('rewrite', jsonb_build_array('leaked',
                                'policies let a row change its tenant; only a constraint refused it'));
                        WHEN OTHERS THEN
                            answer := answer || jsonb_build_object('rewrite', jsonb_build_array('not_exercised', SQLERRM));
                    END;
                END IF;
            END LOOP;
            IF NOT updates THEN
                answer := answer || '{"rewrite": ["not_granted", null]}';
            END IF;

            -- refer: an own row that refers to tenant B's. Keys are checked past all policies, so that nothing
            -- but the key itself refuses it. By UPDATE of the own row, or else by a copy of it.
            PERFORM set_config('tenancy.tenant_id', tenant_a::text, true), set_config('tenancy.user_id', a ->> 'user', true);
            verdict := 'not_granted';
            note := NULL;
            FOR key IN SELECT r.v FROM jsonb_array_elements(input -> 'refers') AS r (v) LOOP
                EXIT WHEN verdict = 'leaked';
                CONTINUE WHEN is_view OR NOT (updates OR inserts);
                one := 'not_exercised';
                IF key ? 'why' THEN
                    note := format('a row of %s to refer to: %s', key ->> 'parent', key ->> 'why');
                ELSIF updates AND (SELECT bool_and(has_column_privilege(rel, k, 'UPDATE')) FROM jsonb_object_keys(key -> 'columns') k) THEN
                    PERFORM set_config('tenancy_doctor.reach', '0', true);
                    BEGIN
                        SELECT string_agg(format('%I = (jsonb_populate_record(NULL::%s, $1)).%I', k, rel::regclass, k), ', ')
                        INTO statement FROM jsonb_object_keys(key -> 'columns') k;
                        EXECUTE format('UPDATE %s SET %s WHERE ', rel::regclass, statement) || format(counting, own, 'NOT NULL') USING key -> 'columns';
                        GET DIAGNOSTICS touched = ROW_COUNT;
                        IF touched = 0 OR reached_a = 0 THEN
                            RAISE EXCEPTION '%', why;
                        END IF;
                        SET CONSTRAINTS ALL IMMEDIATE;
                        RAISE EXCEPTION USING ERRCODE = 'TEN01';
                    EXCEPTION
                        WHEN foreign_key_violation OR insufficient_privilege THEN one := 'held';
                        WHEN SQLSTATE 'TEN01' THEN one := 'leaked';
                        WHEN OTHERS THEN note := SQLERRM;
                    END;
                ELSIF inserts AND a ->> 'row' IS NOT NULL
                    AND (SELECT bool_and(has_column_privilege(rel, k, 'INSERT')) FROM jsonb_object_keys(key -> 'columns') k)
                THEN
                    -- The keys of the copy are new ones.
                    SELECT (a -> 'row') || coalesce(jsonb_object_agg(k.attname, CASE
                            WHEN k.typname = 'uuid' THEN to_jsonb(gen_random_uuid())
                            WHEN k.typcategory = 'N' THEN to_jsonb(floor(random() * 32000)::int)
                            ELSE to_jsonb(left(a -> 'row' ->> k.attname, -6) || substr(md5(random()::text), 1, 6)) END), '{}') || (key -> 'columns')
                    INTO row_now
                    FROM (
                        SELECT DISTINCT t.attname, y.typname, y.typcategory
                        FROM pg_catalog.pg_index i
                        JOIN pg_catalog.pg_attribute t ON t.attrelid = rel AND t.attnum = ANY (i.indkey) AND t.attname <> col
                        JOIN pg_catalog.pg_type y ON y.oid = t.atttypid
                        WHERE i.indrelid = rel AND i.indisunique AND (y.typname = 'uuid' OR y.typcategory IN ('N', 'S'))
                          AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint f
                              WHERE f.conrelid = rel AND f.contype = 'f' AND t.attnum = ANY (f.conkey))
                    ) k;
                    BEGIN
                        SELECT string_agg(format('%I', t.attname), ', ') INTO columns_now
                        FROM pg_catalog.pg_attribute t
                        WHERE t.attrelid = rel AND t.attnum > 0 AND NOT t.attisdropped AND t.attgenerated = '' AND t.attidentity <> 'a'
                          AND has_column_privilege(rel, t.attnum, 'INSERT') AND row_now ? t.attname;
                        EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_record(NULL::%s, $1)',
                            rel::regclass, columns_now, columns_now, rel::regclass) USING row_now;
                        SET CONSTRAINTS ALL IMMEDIATE;
                        RAISE EXCEPTION USING ERRCODE = 'TEN01';
                    EXCEPTION
                        WHEN foreign_key_violation OR insufficient_privilege THEN one := 'held';
                        WHEN SQLSTATE 'TEN01' THEN one := 'leaked';
                        WHEN OTHERS THEN note := SQLERRM;
                    END;
                ELSE
                    CONTINUE;
                END IF;
                IF one = 'leaked' THEN
                    note := format('a row can refer to another tenant''s row of %s', key ->> 'parent');
                END IF;
                verdict := CASE WHEN one = 'leaked' THEN one WHEN verdict = 'not_exercised' THEN verdict ELSE one END;
            END LOOP;
            answer := answer || jsonb_build_object('refer', jsonb_build_array(verdict, CASE WHEN verdict IN ('leaked', 'not_exercised') THEN note END));

            -- upsert: tenant B's row by its key. A key without the tenant meets that row from tenant A.
            PERFORM set_config('tenancy.tenant_id', tenant_a::text, true), set_config('tenancy.user_id', a ->> 'user', true);
            SELECT string_agg(format('%I', t.attname), ', ' ORDER BY k.place),
                CASE WHEN bool_or(t.attname = col) THEN '{}' ELSE jsonb_build_object(col, tenant_a) END
            INTO key_columns, row_now
            FROM pg_catalog.pg_index i
            CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
            JOIN pg_catalog.pg_attribute t ON t.attrelid = base AND t.attnum = k.attnum
            WHERE i.indrelid = base AND i.indisprimary;
            SELECT string_agg(format('%I', t.attname), ', ') INTO columns_now
            FROM pg_catalog.pg_attribute t
            WHERE t.attrelid = rel AND t.attnum > 0 AND NOT t.attisdropped AND t.attgenerated = '' AND t.attidentity <> 'a'
              AND has_column_privilege(rel, t.attnum, 'INSERT')
              AND (NOT is_view OR pg_catalog.pg_column_is_updatable(rel, t.attnum, true))
              AND (t.attname = col OR coalesce(b -> 'row', '{}') ? t.attname);
            IF NOT (inserts AND updates) THEN
                answer := answer || '{"upsert": ["not_granted", null]}';
            ELSIF key_columns IS NULL OR b ->> 'row' IS NULL THEN
                answer := answer || jsonb_build_object('upsert', jsonb_build_array('not_exercised',
                    CASE WHEN key_columns IS NULL THEN 'the table has no primary key' ELSE why END));
            ELSE
                row_now := (b -> 'row') || jsonb_build_object(col, tenant_b) || row_now;
                BEGIN
                    EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_record(NULL::%s, $1) ON CONFLICT (%s) DO UPDATE SET %s = DEFAULT',
                        rel::regclass, columns_now, columns_now, rel::regclass, key_columns, any_column) USING row_now;
                    RAISE EXCEPTION USING ERRCODE = 'TEN01', MESSAGE = 'ON CONFLICT DO UPDATE wrote a row of another tenant';
                EXCEPTION
                    WHEN insufficient_privilege THEN
                        answer := answer || '{"upsert": ["held", null]}';
                    WHEN SQLSTATE 'TEN01' THEN
                        answer := answer || jsonb_build_object('upsert', jsonb_build_array('leaked', SQLERRM));
                    WHEN integrity_constraint_violation THEN
                        answer := answer || jsonb_build_object('upsert', jsonb_build_array('leaked',
                            'policies let ON CONFLICT DO UPDATE through; only a constraint refused it'));
                    WHEN OTHERS THEN
                        answer := answer || jsonb_build_object('upsert', jsonb_build_array('not_exercised', SQLERRM));
                END;
            END IF;

            -- no_context: nothing is seen, reached or written.
            PERFORM set_config('tenancy.tenant_id', '', true), set_config('tenancy.user_id', '', true);
            verdict := CASE WHEN NOT (reads OR inserts OR updates OR deletes) THEN 'not_granted'
                WHEN own > 0 THEN 'held' ELSE 'not_exercised' END;
            note := CASE verdict WHEN 'not_exercised' THEN why END;
            IF reads THEN
                BEGIN
                    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', rel::regclass) INTO foreign_row;
                    IF foreign_row THEN
                        verdict := 'leaked';
                        note := 'SELECT shows rows where no tenant was entered';
                    END IF;
                EXCEPTION WHEN OTHERS THEN
                    -- An error shows no row.
                    NULL;
                END;
            END IF;
            FOREACH verb IN ARRAY ARRAY['update', 'delete'] LOOP
                CONTINUE WHEN verb = 'update' AND NOT updates OR verb = 'delete' AND NOT deletes;
                PERFORM set_config('tenancy_doctor.reach', '0', true);
                BEGIN
                    EXECUTE CASE verb
                        WHEN 'update' THEN format('UPDATE %s SET %s = DEFAULT WHERE ', rel::regclass, any_column)
                        ELSE format('DELETE FROM %s WHERE ', rel::regclass) END || format(counting, 0, 'NULL');
                EXCEPTION
                    WHEN invalid_argument_for_logarithm THEN
                        verdict := 'leaked';
                        note := upper(verb) || ' reaches rows where no tenant was entered';
                    WHEN OTHERS THEN
                        NULL;
                END;
            END LOOP;
            IF inserts AND a ->> 'row' IS NOT NULL THEN
                SELECT string_agg(format('%I', t.attname), ', ') INTO columns_now
                FROM pg_catalog.pg_attribute t
                WHERE t.attrelid = rel AND t.attnum > 0 AND NOT t.attisdropped AND t.attgenerated = '' AND t.attidentity <> 'a'
                  AND has_column_privilege(rel, t.attnum, 'INSERT') AND a -> 'row' ? t.attname
                  AND (NOT is_view OR pg_catalog.pg_column_is_updatable(rel, t.attnum, true));
                BEGIN
                    EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_record(NULL::%s, $1)',
                        rel::regclass, columns_now, columns_now, rel::regclass) USING a -> 'row';
                    RAISE EXCEPTION USING ERRCODE = 'TEN01';
                EXCEPTION
                    WHEN integrity_constraint_violation OR SQLSTATE 'TEN01' THEN
                        verdict := 'leaked';
                        note := 'policies let a row be inserted where no tenant was entered';
                    WHEN OTHERS THEN
                        NULL;
                END;
            END IF;
            answer := answer || jsonb_build_object('no_context', jsonb_build_array(verdict, note));

            -- switch: one prepared plan, used by tenant A, by tenant B, by nobody and by tenant A again.
            IF NOT reads THEN
                answer := answer || '{"switch": ["not_granted", null]}';
            ELSIF seen_a = 0 OR seen_b = 0 THEN
                answer := answer || jsonb_build_object('switch', jsonb_build_array('not_exercised', why));
            ELSE
                verdict := 'held';
                note := NULL;
                BEGIN
                    EXECUTE format('PREPARE tenancy_doctor_probe AS
                        SELECT count(*) FILTER (WHERE s.t = util.current_tenant()), count(*) FILTER (WHERE (s.t = util.current_tenant()) IS NOT TRUE)
                        FROM (SELECT %I AS t FROM %s LIMIT 10000) s', col, rel::regclass);
                    FOR turn IN SELECT t.v FROM jsonb_array_elements(jsonb_build_array(a, b, '{"tenant": ""}', a)) AS t (v) LOOP
                        PERFORM set_config('tenancy.tenant_id', turn ->> 'tenant', true), set_config('tenancy.user_id', coalesce(turn ->> 'user', ''), true);
                        BEGIN
                            EXECUTE 'EXECUTE tenancy_doctor_probe' INTO mine, theirs;
                        EXCEPTION WHEN OTHERS THEN
                            IF turn ->> 'tenant' <> '' THEN
                                RAISE;
                            END IF;
                            mine := 0;
                            theirs := 0;
                        END;
                        IF theirs > 0 OR mine = 0 AND turn ->> 'tenant' <> '' THEN
                            verdict := 'leaked';
                            note := 'a prepared statement shows the rows of the tenant it was used for before';
                        END IF;
                    END LOOP;
                    DEALLOCATE tenancy_doctor_probe;
                EXCEPTION WHEN OTHERS THEN
                    verdict := 'not_exercised';
                    note := SQLERRM;
                    IF EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE name = 'tenancy_doctor_probe') THEN
                        DEALLOCATE tenancy_doctor_probe;
                    END IF;
                END;
                answer := answer || jsonb_build_object('switch', jsonb_build_array(verdict, note));
            END IF;
        END;
        answers := answers || jsonb_build_array(answer);
    END LOOP;
    PERFORM set_config('tenancy_doctor.output', answers::text, true);
END
$block$
