-- role: operator, not prepared: a block, run as whichever role may write the table
-- Puts a row into each of some tables, as the current role and in a tenant's context, or finds one there.
-- The database looks for values that every CHECK and every policy of the role accepts: columns that
-- stand alone are settled one by one, and those that share a condition are tried in combination.
-- Setting tenancy_doctor.input: [{table, column, tenant, user, given: {column: value}, extra}, …], column
-- and tenant null for a table without tenants. With extra, rows of all kinds that a policy may tell apart. Setting tenancy_doctor.output: [{row, rows} or {why}, …].
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
        answer := '{"why": "unknown"}';
        <<attempt>>
        DECLARE
            input jsonb := job;
            rel oid := (input ->> 'table')::oid;
            tenant uuid := (input ->> 'tenant')::uuid;
            given jsonb := input -> 'given';
            stamp text := substr(md5(coalesce(input ->> 'tenant', '') || rel::text), 1, 8);
            v7 text := lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
                || '7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15);
            this_name text;
            col record;
            words text[];
            numbers text[];
            candidates text[];
            list text;
            alone text;
            targets text[] := '{}';
            sources text[] := '{}';
            known int2[] := '{}';
            insertable text[] := '{}';
            together text;
            found_row jsonb;
            found_rows bigint := 1;
            choices jsonb := '{}';
            mixes jsonb[] := '{}';
            mix jsonb;
        BEGIN
            PERFORM set_config('tenancy.tenant_id', coalesce(input ->> 'tenant', ''), true),
                set_config('tenancy.user_id', coalesce(input ->> 'user', ''), true),
                set_config('tenancy.roles', 'probe', true),
                set_config('tenancy.actor_kind', '', true), set_config('tenancy.actor_id', '', true);
            SELECT c.relname INTO this_name FROM pg_catalog.pg_class c WHERE c.oid = rel;

            -- A row that is there already.
            BEGIN
                SELECT string_agg(format('x.%I', a.attname), ', ') INTO list
                FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped
                  AND has_column_privilege(rel, a.attnum, 'SELECT');
                IF list IS NOT NULL THEN
                    EXECUTE format('SELECT to_jsonb(s) FROM (SELECT %s FROM %s x %s LIMIT 1) s', list, rel::regclass,
                        CASE WHEN tenant IS NOT NULL THEN format('WHERE x.%I = %L', input ->> 'column', tenant) END)
                    INTO found_row;
                END IF;
            EXCEPTION WHEN OTHERS THEN
                found_row := NULL;
            END;

            IF found_row IS NULL THEN
                IF NOT has_any_column_privilege(rel, 'INSERT') THEN
                    answer := '{"why": "permission denied"}';
                    EXIT attempt;
                END IF;
                FOR col IN
                    SELECT a.attnum, a.attname, a.attnotnull, a.atttypmod, b.typname, b.oid AS base_type, t.typcategory,
                        format_type(a.atttypid, a.atttypmod) AS type,
                        pg_get_expr(d.adbin, d.adrelid) AS default_value,
                        a.attidentity,
                        has_column_privilege(rel, a.attnum, 'INSERT') AS granted,
                        EXISTS (
                            SELECT FROM pg_catalog.pg_index i
                            WHERE i.indrelid = rel AND i.indisunique AND a.attnum = ANY (i.indkey)) AS in_key,
                        EXISTS (
                            SELECT FROM pg_catalog.pg_constraint k
                            WHERE k.conrelid = rel AND k.contype = 'c' AND cardinality(k.conkey) > 1 AND a.attnum = ANY (k.conkey)
                        ) OR EXISTS (
                            SELECT FROM pg_catalog.pg_policy p
                            JOIN pg_catalog.pg_depend o ON o.classid = 'pg_catalog.pg_policy'::regclass AND o.objid = p.oid
                                AND o.refobjid = rel AND o.refobjsubid = a.attnum
                            WHERE p.polrelid = rel AND p.polcmd IN ('a', '*')) AS entangled
                    FROM pg_catalog.pg_attribute a
                    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
                    JOIN pg_catalog.pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
                    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = rel AND d.adnum = a.attnum
                    WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                      AND a.attidentity <> 'a'
                    ORDER BY a.attnum
                LOOP
                    candidates := NULL;
                    list := NULL;
                    IF given ? col.attname THEN
                        list := format('(%L::%s)', given ->> col.attname, col.type);
                    ELSIF NOT col.entangled
                        AND ((col.attidentity = 'd' OR col.default_value IS NOT NULL) AND NOT (col.in_key AND col.granted)
                             OR col.attidentity <> 'd' AND col.default_value IS NULL AND NOT col.attnotnull)
                    THEN
                        CONTINUE;
                    ELSE
                        IF col.granted AND (col.default_value IS NULL OR col.entangled) THEN
                            words := ARRAY(
                                SELECT replace(m.hit[1], '''''', '''')
                                FROM pg_catalog.pg_constraint k
                                CROSS JOIN regexp_matches(pg_get_constraintdef(k.oid), '''((?:[^'']|'''')*)''', 'g')
                                    WITH ORDINALITY AS m (hit, place)
                                WHERE k.conrelid = rel AND k.contype = 'c' AND col.attnum = ANY (k.conkey)
                                ORDER BY cardinality(k.conkey), k.oid, m.place LIMIT 20);
                            numbers := ARRAY(
                                SELECT DISTINCT m.hit[1]
                                FROM pg_catalog.pg_constraint k
                                CROSS JOIN regexp_matches(pg_get_constraintdef(k.oid), '\m(\d{1,9})\M', 'g') AS m (hit)
                                WHERE k.conrelid = rel AND k.contype = 'c' AND col.attnum = ANY (k.conkey) LIMIT 20);
                            candidates := CASE
                                WHEN col.typcategory = 'S' THEN ARRAY['probe_' || stamp] || words || ARRAY['p', input ->> 'user',
                                        'probe-' || stamp, 'probe.read', 'probe@example.com', 'https://example.com/', 'EUR', 'DE', '1', '']
                                    || ARRAY(SELECT repeat('a', n::int) FROM unnest(numbers) n WHERE n::int BETWEEN 1 AND 4096)
                                WHEN col.typcategory = 'N' THEN
                                    CASE WHEN col.in_key AND NOT col.entangled
                                        THEN ARRAY[(100000000 + floor(random() * 2000000000))::bigint::text, (2 + floor(random() * 32000))::text] END
                                    || ARRAY['1', '0'] || numbers || ARRAY(SELECT (n::int + 1)::text FROM unnest(numbers) n)
                                    || ARRAY(SELECT (n::int - 1)::text FROM unnest(numbers) n) || ARRAY['100', '-1', '0.5']
                                WHEN col.typcategory = 'B' THEN ARRAY['false', 'true']
                                WHEN col.typcategory = 'D' THEN ARRAY[clock_timestamp()::text, (clock_timestamp() + interval '1 hour')::text,
                                    (clock_timestamp() - interval '1 hour')::text]
                                WHEN col.typcategory = 'T' THEN ARRAY['1 hour', '0', '1 day']
                                WHEN col.typcategory = 'I' THEN ARRAY['127.0.0.1', '10.0.0.0/8']
                                WHEN col.typcategory = 'A' THEN ARRAY['{probe}', '{1}', format('{%s}', v7), '{}']
                                    || ARRAY(SELECT format('{%s}', w) FROM unnest(words) w)
                                WHEN col.typcategory = 'E' THEN ARRAY(
                                    SELECT l.enumlabel::text FROM pg_catalog.pg_enum l WHERE l.enumtypid = col.base_type ORDER BY l.enumsortorder)
                                WHEN col.typcategory = 'R' THEN ARRAY['[1,2)', '[2000-01-01,2000-01-02)', 'empty']
                                WHEN col.typcategory = 'G' THEN ARRAY['(0,0)', '((0,0),(1,1))', '<(0,0),1>']
                                WHEN col.typcategory = 'V' THEN ARRAY[repeat('0', greatest(col.atttypmod, 1))]
                                WHEN col.typname = 'uuid' THEN ARRAY[v7, input ->> 'user', gen_random_uuid()::text]
                                WHEN col.typname IN ('json', 'jsonb') THEN ARRAY['{}', '[]', '{"probe": true}', '"probe"', 'null'] || words
                                WHEN col.typname = 'bytea' THEN ARRAY(
                                    SELECT '\x' || repeat('00', n::int) FROM unnest('{32,1,16}'::text[] || numbers) n WHERE n::int <= 4096) || ARRAY['\x']
                                WHEN col.typname IN ('vector', 'halfvec') THEN ARRAY['[1' || repeat(',0', greatest(col.atttypmod, 1) - 1) || ']']
                                WHEN col.typname = 'sparsevec' THEN ARRAY[format('{1:1}/%s', greatest(col.atttypmod, 1))]
                                WHEN col.typname IN ('tsvector', 'ltree', 'tsquery') THEN ARRAY['probe']
                                WHEN col.typname = 'xml' THEN ARRAY['<probe/>']
                                WHEN col.typname IN ('macaddr', 'macaddr8') THEN ARRAY['08:00:2b:01:02:03']
                                WHEN col.typname IN ('xid8', 'pg_lsn') THEN ARRAY['0', '0/0']
                                WHEN col.typname = 'hstore' THEN ARRAY['']
                            END;
                            -- Types of extensions may answer bad input with an error instead of false.
                            IF col.typcategory <> 'U' OR col.typname IN ('json', 'jsonb') THEN
                                candidates := ARRAY(SELECT c.v FROM unnest(candidates) WITH ORDINALITY AS c (v, place)
                                    WHERE pg_input_is_valid(c.v, col.type) ORDER BY c.place);
                            END IF;
                            SELECT string_agg(format('(%L::%s)', c.v, col.type), ', ' ORDER BY c.place) INTO list
                            FROM unnest(candidates) WITH ORDINALITY AS c (v, place);
                        END IF;
                        list := concat_ws(', ',
                            CASE WHEN col.default_value IS NOT NULL THEN format('((%s)::%s)', col.default_value, col.type) END,
                            CASE WHEN NOT col.attnotnull THEN format('(NULL::%s)', col.type) END,
                            list);
                        IF list = '' THEN
                            answer := jsonb_build_object('why',
                                format('no value is known for column %I of type %s', col.attname, col.type));
                            EXIT attempt;
                        END IF;
                    END IF;
                    SELECT string_agg(format('(%s) IS NOT FALSE', pg_get_expr(k.conbin, k.conrelid)), ' AND ') INTO alone
                    FROM pg_catalog.pg_constraint k
                    WHERE k.conrelid = rel AND k.contype = 'c' AND k.conkey = ARRAY[col.attnum];
                    list := format('SELECT c.%I FROM (VALUES %s) AS c (%I) WHERE %s LIMIT %s', col.attname, list, col.attname,
                        coalesce(alone, 'true'), CASE WHEN col.entangled THEN 8 ELSE 1 END);
                    IF col.entangled THEN
                        sources := sources || format('(%s) AS %I', list, 'c' || col.attnum);
                        targets := targets || format('%I.%I', 'c' || col.attnum, col.attname);
                    ELSE
                        targets := targets || format('(%s) AS %I', list, col.attname);
                    END IF;
                    known := known || col.attnum;
                    IF col.granted THEN
                        insertable := insertable || format('%I', col.attname);
                    END IF;
                END LOOP;

                SELECT string_agg(c.condition, ' AND ') INTO together
                FROM (
                    SELECT format('(%s) IS NOT FALSE', pg_get_expr(k.conbin, k.conrelid))
                    FROM pg_catalog.pg_constraint k
                    WHERE k.conrelid = rel AND k.contype = 'c' AND cardinality(k.conkey) > 1 AND k.conkey <@ known
                    UNION ALL
                    SELECT '(' || string_agg(format('(%s)', coalesce(pg_get_expr(p.polwithcheck, rel), pg_get_expr(p.polqual, rel))), ' OR ') || ')'
                    FROM pg_catalog.pg_policy p
                    WHERE p.polrelid = rel AND p.polpermissive AND p.polcmd IN ('a', '*') AND row_security_active(rel)
                      AND EXISTS (SELECT FROM unnest(p.polroles) AS bound (role)
                          WHERE CASE WHEN bound.role = 0 THEN true ELSE pg_has_role(bound.role, 'USAGE') END)
                ) AS c (condition);

                BEGIN
                    EXECUTE format('SELECT to_jsonb(%I) FROM (SELECT %s FROM %s LIMIT 50000) AS %I WHERE %s LIMIT 1',
                        this_name, array_to_string(targets, ', '),
                        coalesce(nullif(array_to_string(sources, ', '), ''), '(SELECT) AS nothing'), this_name, coalesce(together, 'true'))
                    INTO found_row;
                    IF found_row IS NULL THEN
                        answer := '{"why": "no values were found that its constraints and policies accept"}';
                        EXIT attempt;
                    END IF;
                    SELECT min(t.attname) INTO list
                    FROM pg_catalog.pg_attribute t
                    WHERE t.attrelid = rel AND t.attnum = ANY (known) AND t.attnotnull AND found_row ->> t.attname IS NULL;
                    IF list IS NOT NULL THEN
                        answer := jsonb_build_object('why',
                            format('no value was found for column %I that its constraints accept', list));
                        EXIT attempt;
                    END IF;
                    EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_record(NULL::%s, $1)', rel::regclass,
                        array_to_string(insertable, ', '), array_to_string(insertable, ', '), rel::regclass)
                    USING found_row;
                EXCEPTION WHEN OTHERS THEN
                    answer := jsonb_build_object('why', SQLERRM);
                    EXIT attempt;
                END;
            END IF;

            -- Where a policy asks for more than the tenant, rows with every value that it may ask for, and mixtures
            -- of them by chance: one that opens published rows only is seen by a published row.
            IF (input ->> 'extra')::boolean AND tenant IS NOT NULL AND has_any_column_privilege(rel, 'INSERT') THEN
                FOR col IN
                    SELECT a.attname, a.attnotnull, b.typname, b.oid AS base_type, t.typcategory, concat_ws(' ', asked.conditions, checked.conditions) AS conditions
                    FROM pg_catalog.pg_attribute a
                    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
                    JOIN pg_catalog.pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
                    CROSS JOIN LATERAL (
                        SELECT string_agg(pg_get_expr(p.polqual, rel), ' ') AS conditions, count(*) AS policies
                        FROM pg_catalog.pg_policy p
                        JOIN pg_catalog.pg_depend o ON o.classid = 'pg_catalog.pg_policy'::regclass AND o.objid = p.oid
                            AND o.refobjid = rel AND o.refobjsubid = a.attnum
                        WHERE p.polrelid = rel AND p.polpermissive AND p.polcmd <> 'a') AS asked
                    CROSS JOIN LATERAL (
                        SELECT string_agg(pg_get_constraintdef(k.oid), ' ') AS conditions FROM pg_catalog.pg_constraint k
                        WHERE k.conrelid = rel AND k.contype = 'c' AND a.attnum = ANY (k.conkey)) AS checked
                    WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a'
                      AND a.attname <> input ->> 'column' AND NOT given ? a.attname AND has_column_privilege(rel, a.attnum, 'INSERT')
                      AND (asked.policies > 0 OR EXISTS (
                          -- Or it shares a CHECK with such a column.
                          SELECT FROM pg_catalog.pg_constraint k
                          JOIN pg_catalog.pg_policy p ON p.polrelid = rel AND p.polpermissive AND p.polcmd <> 'a'
                          JOIN pg_catalog.pg_depend o ON o.classid = 'pg_catalog.pg_policy'::regclass AND o.objid = p.oid
                              AND o.refobjid = rel AND o.refobjsubid = ANY (k.conkey)
                          JOIN pg_catalog.pg_attribute asker ON asker.attrelid = rel AND asker.attnum = o.refobjsubid
                              AND asker.attname <> input ->> 'column'
                          WHERE k.conrelid = rel AND k.contype = 'c' AND a.attnum = ANY (k.conkey)))
                LOOP
                    words := ARRAY(SELECT DISTINCT replace(m.hit[1], '''''', '''')
                        FROM regexp_matches(col.conditions, '''((?:[^'']|'''')*)''', 'g') AS m (hit) LIMIT 12);
                    numbers := ARRAY(SELECT DISTINCT m.hit[1] FROM regexp_matches(col.conditions, '\m(\d{1,9})\M', 'g') AS m (hit) LIMIT 6);
                    candidates := CASE
                        WHEN col.typcategory = 'B' THEN ARRAY['true', 'false']
                        WHEN col.typcategory = 'N' THEN numbers || ARRAY(SELECT (n::bigint + 1)::text FROM unnest(numbers) n)
                            || ARRAY(SELECT (n::bigint - 1)::text FROM unnest(numbers) n)
                        WHEN col.typcategory = 'D' THEN words || ARRAY['2000-01-01', '2100-01-01']
                        WHEN col.typcategory = 'E' THEN ARRAY(SELECT l.enumlabel::text FROM pg_catalog.pg_enum l WHERE l.enumtypid = col.base_type LIMIT 12)
                        WHEN col.typname = 'uuid' THEN words || (input ->> 'user')
                        ELSE words END;
                    choices := choices || jsonb_build_object(col.attname,
                        (SELECT coalesce(jsonb_agg(CASE WHEN col.typcategory <> 'A' THEN to_jsonb(c)
                            WHEN pg_input_is_valid(c, 'text[]') THEN to_jsonb(c::text[]) ELSE jsonb_build_array(c) END), '[]') FROM unnest(candidates) AS c)
                        || CASE WHEN col.attnotnull THEN '[]' ELSE '[null]' END::jsonb);
                END LOOP;
                SELECT coalesce(array_agg(jsonb_build_object(c.key, v.value)), '{}') INTO mixes
                FROM jsonb_each(choices) c, jsonb_array_elements(c.value) v;
                IF cardinality(mixes) > 1 THEN
                    FOR n IN 1..100 LOOP
                        SELECT jsonb_object_agg(c.key, c.value -> floor(random() * jsonb_array_length(c.value))::int) INTO mix
                        FROM jsonb_each(choices) c WHERE jsonb_array_length(c.value) > 0;
                        mixes := mixes || mix;
                    END LOOP;
                END IF;
                FOREACH mix IN ARRAY mixes LOOP
                    SELECT found_row || coalesce(jsonb_object_agg(k.attname, CASE
                            WHEN k.typname = 'uuid' THEN to_jsonb(gen_random_uuid())
                            WHEN k.typcategory = 'N' THEN to_jsonb(floor(random() * 32000)::int)
                            ELSE to_jsonb(left(found_row ->> k.attname, -6) || substr(md5(random()::text), 1, 6)) END), '{}') || mix
                    INTO mix
                    FROM (
                        SELECT DISTINCT a.attname, b.typname, t.typcategory
                        FROM pg_catalog.pg_index i
                        JOIN pg_catalog.pg_attribute a ON a.attrelid = rel AND a.attnum = ANY (i.indkey) AND a.attname <> input ->> 'column'
                        JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
                        JOIN pg_catalog.pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
                        WHERE i.indrelid = rel AND i.indisunique AND NOT given ? a.attname
                          AND (b.typname = 'uuid' OR t.typcategory IN ('N', 'S'))
                    ) k;
                    CONTINUE WHEN mix IS NULL;
                    BEGIN
                        SELECT string_agg(format('%I', a.attname), ', ') INTO list
                        FROM pg_catalog.pg_attribute a
                        WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a'
                          AND mix ? a.attname AND has_column_privilege(rel, a.attnum, 'INSERT');
                        EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_record(NULL::%s, $1)',
                            rel::regclass, list, list, rel::regclass) USING mix;
                    EXCEPTION WHEN OTHERS THEN
                        -- A mixture that a constraint refuses is no row that a policy could open.
                        NULL;
                    END;
                END LOOP;
            END IF;

            -- How many rows the tenant has, where the role can count them.
            IF tenant IS NOT NULL AND has_column_privilege(rel, input ->> 'column', 'SELECT') THEN
                EXECUTE format('SELECT count(*) FROM (SELECT FROM %s x WHERE x.%I = %L LIMIT 10000) s', rel::regclass, input ->> 'column', tenant)
                INTO found_rows;
            END IF;
            answer := jsonb_build_object('row', found_row, 'rows', greatest(found_rows, 1));
        END attempt;
        answers := answers || jsonb_build_array(answer);
    END LOOP;
    PERFORM set_config('tenancy_doctor.output', answers::text, true);
END
$block$
