-- migrate:up

-- What lots paid, apart by their source: allowances are initial, all others top-up (FI-5). Units are
-- of balances that are no money, each in its own; top-up cost is cost less initial cost.
alter table usage_hour
    add column initial_units bigint not null default 0,
    add column top_up_units bigint not null default 0,
    add column initial_cost bigint not null default 0;
alter table usage_day
    add column initial_units bigint not null default 0,
    add column top_up_units bigint not null default 0,
    add column initial_cost bigint not null default 0;

-- Of a broadcast, its days.
create index usage_day_broadcasts on usage_day (tenant_id, broadcast, bucket) where broadcast <> '';

-- What is there already: of each fact the charges that stand, where the fact counts. An owner who is
-- no superuser sees no rows while policies hold for owners as well.
do $$
declare
    name text;
begin
    foreach name in array array[
        'facts', 'charges', 'revisions', 'actions', 'lots', 'balances', 'usage_hour', 'usage_day'
    ] loop
        execute format('alter table %I no force row level security', name);
    end loop;
end $$;

-- filling: the hours. What was adjusted counts when it came, all else when it began; an hour is the
-- last one not after that of the same dimensions, for it has counted the fact. Data may have a NUL
-- escaped, which no text of Postgres can hold: it is read as U+0001.
create function pg_temp.readable(data text) returns json immutable return
    case when strpos(data, '\u0000') = 0 then data
        else regexp_replace(data, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\u0001', 'g') end::json;
update usage_hour u set initial_units = paid.initial_units, top_up_units = paid.top_up_units,
    initial_cost = paid.initial_cost
from (
    select f.tenant_id, hour.bucket, f.number_id, said.direction, said.country, said.category,
        said.agent, said.broadcast,
        coalesce(sum(leg.taken) filter (where b.currency is null and l.source = 1), 0)
            as initial_units,
        coalesce(sum(leg.taken) filter (where b.currency is null and l.source <> 1), 0)
            as top_up_units,
        coalesce(sum(leg.taken) filter (where b.currency is not null and l.source = 1), 0)
            as initial_cost
    from facts f
    left join lateral (
        select revision from revisions
        where tenant_id = f.tenant_id and at = f.at and key = f.key
        order by revision desc
        limit 1
    ) v on true
    cross join lateral (
        select f.balance_id, array[f.lot_id] as lots, array[f.amount] as taken
        where v.revision is null and f.lot_id is not null
        union all
        select balance_id, lots, taken from charges
        where tenant_id = f.tenant_id and at = f.at and key = f.key and not reversal
            and revision = coalesce(v.revision, 0) and amount <> 0
    ) c
    cross join lateral unnest(c.lots, c.taken) leg (lot_id, taken)
    join lots l on l.tenant_id = f.tenant_id and l.lot_id = leg.lot_id
    join balances b on b.tenant_id = f.tenant_id and b.balance_id = c.balance_id
    left join lateral (
        select greatest(f.arrived_at, (
            select max((body ->> 'closed_until')::bigint) from actions
            where tenant_id = f.tenant_id and kind = 9 and version < rated.version
        )) as at
        from revisions rated
        where tenant_id = f.tenant_id and rated.at = f.at and key = f.key and status = 3
        order by revision
        limit 1
    ) later on f.status <> 3
    cross join lateral (
        select case f.type
                when 1 then 1
                when 7 then
                    case pg_temp.readable(f.data) ->> 'direction' when 'in' then 1 else 2 end
                when 8 then 0
                when 10 then 0
                else 2
            end as direction,
            coalesce(f.country, '') as country, coalesce(f.category, '') as category,
            coalesce(pg_temp.readable(f.data) ->> 'user', '') as agent,
            coalesce(pg_temp.readable(f.data) ->> 'broadcast', '') as broadcast,
            case
                when f.status = 3 then f.arrived_at
                when later.at is not null then later.at
                when f.type = 7 then f.at - 1000000
                    * ceil(coalesce((pg_temp.readable(f.data) ->> 'seconds')::numeric, 0))::bigint
                else f.at
            end as at
    ) said
    cross join lateral (
        select bucket from usage_hour h
        where h.tenant_id = f.tenant_id and h.bucket <= said.at and h.number_id = f.number_id
            and h.direction = said.direction and h.country = said.country
            and h.category = said.category and h.agent = said.agent
            and h.broadcast = said.broadcast
        order by bucket desc
        limit 1
    ) hour
    group by 1, 2, 3, 4, 5, 6, 7, 8
) paid
where u.tenant_id = paid.tenant_id and u.bucket = paid.bucket and u.number_id = paid.number_id
    and u.direction = paid.direction and u.country = paid.country and u.category = paid.category
    and u.agent = paid.agent and u.broadcast = paid.broadcast;

-- The days, of their hours.
update usage_day u set initial_units = paid.initial_units, top_up_units = paid.top_up_units,
    initial_cost = paid.initial_cost
from (
    select h.tenant_id, day.bucket, h.number_id, h.direction, h.country, h.category, h.agent,
        h.broadcast, sum(h.initial_units) as initial_units, sum(h.top_up_units) as top_up_units,
        sum(h.initial_cost) as initial_cost
    from usage_hour h
    cross join lateral (
        select bucket from usage_day d
        where d.tenant_id = h.tenant_id and d.bucket <= h.bucket and d.number_id = h.number_id
            and d.direction = h.direction and d.country = h.country and d.category = h.category
            and d.agent = h.agent and d.broadcast = h.broadcast
        order by bucket desc
        limit 1
    ) day
    where (h.initial_units, h.top_up_units, h.initial_cost) <> (0, 0, 0)
    group by 1, 2, 3, 4, 5, 6, 7, 8
) paid
where u.tenant_id = paid.tenant_id and u.bucket = paid.bucket and u.number_id = paid.number_id
    and u.direction = paid.direction and u.country = paid.country and u.category = paid.category
    and u.agent = paid.agent and u.broadcast = paid.broadcast;
drop function pg_temp.readable;
-- filled

do $$
declare
    name text;
begin
    foreach name in array array[
        'facts', 'charges', 'revisions', 'actions', 'lots', 'balances', 'usage_hour', 'usage_day'
    ] loop
        execute format('alter table %I force row level security', name);
    end loop;
end $$;

-- migrate:down

drop index usage_day_broadcasts;
alter table usage_day drop column initial_cost, drop column top_up_units, drop column initial_units;
alter table usage_hour drop column initial_cost, drop column top_up_units, drop column initial_units;
