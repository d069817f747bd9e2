-- migrate:up

-- A tenant's and a number's zone may be exchanged for another: [[null, "Asia/Jakarta"],
-- [1793466000000000, "America/Bogota"]] is Jakarta until that instant, a month's start, and Bogota
-- from then on (TZ-3). A period's start moves with it, so an allowance of a tenant's own holds from
-- a month on: {"month": 24322, "balance": "visitors", "amount": 1500000000}.

-- Half a day after its start a month is that month, whatever tables of zones are asked.
create function pg_temp.by_months(changes jsonb, timezone text) returns jsonb language sql
return (
    select coalesce(jsonb_agg(
        case when each ? 'balance' then each - 'since' || jsonb_build_object('month',
            extract(year from local.at)::integer * 12 + extract(month from local.at)::integer - 1)
        else each end
        order by place
    ), '[]')
    from jsonb_array_elements(changes) with ordinality listed (each, place)
    cross join lateral (
        select moment((each ->> 'since')::bigint) at time zone timezone + interval '12 hours' as at
    ) local
);

-- By `alter`, which row-level security does not narrow: the owner need not be a superuser.
alter table tenants
    alter column changes type jsonb using pg_temp.by_months(changes, timezone),
    alter column timezone type jsonb
        using jsonb_build_array(jsonb_build_array(null, timezone));
alter table tenants rename column timezone to zones;
alter table numbers
    alter column timezone type jsonb
        using jsonb_build_array(jsonb_build_array(null, timezone));
alter table numbers rename column timezone to zones;
grant update (zones) on tenants, numbers to kuota_app;

-- migrate:down

create function pg_temp.by_instants(changes jsonb, zones jsonb) returns jsonb language sql
return (
    select coalesce(jsonb_agg(
        case when each ? 'balance' then each - 'month' || jsonb_build_object('since',
            extract(epoch from make_timestamp(month.label / 12, month.label % 12 + 1, 1, 0, 0, 0)
                at time zone (zones -> -1 ->> 1))::bigint * 1000000)
        else each end
        order by place
    ), '[]')
    from jsonb_array_elements(changes) with ordinality listed (each, place)
    cross join lateral (select (each ->> 'month')::integer as label) month
);

revoke update (zones) on tenants, numbers from kuota_app;
alter table tenants
    alter column changes type jsonb using pg_temp.by_instants(changes, zones),
    alter column zones type text using zones -> -1 ->> 1;
alter table tenants rename column zones to timezone;
alter table numbers alter column zones type text using zones -> -1 ->> 1;
alter table numbers rename column zones to timezone;
