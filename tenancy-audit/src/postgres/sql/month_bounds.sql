-- role: operator (tenancy_owner)
-- The ids of a month: the first one, and the first one of the next month. Parameters: the month's first day.
SELECT tenancy.uuid_v7_floor($1::date::timestamp AT TIME ZONE 'UTC'),
       tenancy.uuid_v7_floor(($1::date::timestamp + interval '1 month') AT TIME ZONE 'UTC')
