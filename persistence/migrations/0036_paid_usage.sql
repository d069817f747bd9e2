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
        'facts', 'charges', 'revisions', 'actions', 'lots', 'balances', 'tenants',
        'usage_hour', 'usage_day'
    ] loop
        execute format('alter table %I no force row level security', name);
    end loop;
end $$;

-- filling: what each fact has paid, and whether it is a message that was free, which was told by
-- its first part alone, and of what was rated after its closing told where it was rated. What was
-- adjusted counts when it came, all else when it began, in the local hour of that: the row of the
-- fact's dimensions that began where the hour did, or within it, where the clocks changed. Data may
-- have a NUL escaped, which no text of Postgres can hold: it is read as U+0001.
create function pg_temp.readable(data text) returns json immutable return
    case when strpos(data, '\u0000') = 0 then data
        else regexp_replace(data, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\u0001', 'g') end::json;
-- What a tenant's clocks show at an instant, as if they were in UTC.
create function pg_temp.shown(zones jsonb, at bigint) returns timestamp stable return (
    select to_timestamp(at / 1000000) at time zone (each ->> 1)
    from jsonb_array_elements(zones) with ordinality _ (each, place)
    where each ->> 0 is null or (each ->> 0)::bigint <= at
    order by place desc
    limit 1
);
create temporary table paid on commit drop as
select f.tenant_id, hour.bucket, f.number_id, said.direction, said.country, said.category,
    said.agent, said.broadcast, min(said.at) as since,
    count(*) filter (where c.free) as messages_free,
    coalesce(sum(c.initial_units), 0)::bigint as initial_units,
    coalesce(sum(c.top_up_units), 0)::bigint as top_up_units,
    coalesce(sum(c.initial_cost), 0)::bigint as initial_cost
from facts f
join tenants t on t.tenant_id = f.tenant_id
left join lateral (
    select revision, flags from revisions
    where tenant_id = f.tenant_id and at = f.at and key = f.key
    order by revision desc
    limit 1
) v on true
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
    select
        -- 64: repeated, 4 and 8192: a paid conversation pays for it
        f.type between 2 and 5 and later.at is null and not bool_or(c.amount <> 0)
            and coalesce(v.flags, f.flags) & (64 | 4 | 8192) = 0 as free,
        sum(leg.initial) filter (where b.currency is null) as initial_units,
        sum(leg.paid - leg.initial) filter (where b.currency is null) as top_up_units,
        sum(leg.initial) filter (where b.currency is not null) as initial_cost,
        bool_or(c.amount <> 0) as paid
    from (
        select f.balance_id, f.amount, array[f.lot_id] as lots, array[f.amount] as taken
        where v.revision is null and f.rule_id is not null
        union all
        select balance_id, amount, lots, taken from charges
        where tenant_id = f.tenant_id and at = f.at and key = f.key and not reversal
            and revision = coalesce(v.revision, 0)
    ) c
    left join balances b on b.tenant_id = f.tenant_id and b.balance_id = c.balance_id
    cross join lateral (
        select coalesce(sum(leg.taken), 0) as paid,
            coalesce(sum(leg.taken) filter (where l.source = 1), 0) as initial
        from unnest(c.lots, c.taken) leg (lot_id, taken)
        join lots l on l.tenant_id = f.tenant_id and l.lot_id = leg.lot_id
    ) leg
) c
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
left join lateral (
    select bucket from usage_hour h
    where h.tenant_id = f.tenant_id and h.number_id = f.number_id
        and h.bucket <= said.at and h.bucket >= said.at - said.at % 1000000 - 1000000
            * extract(epoch from pg_temp.shown(t.zones, said.at)
                - date_trunc('hour', pg_temp.shown(t.zones, said.at)))::bigint
        and h.direction = said.direction and h.country = said.country
        and h.category = said.category and h.agent = said.agent
        and h.broadcast = said.broadcast
    order by bucket desc
    limit 1
) hour on true
where c.free or c.paid
group by 1, 2, 3, 4, 5, 6, 7, 8;

create temporary table paid_days on commit drop as
select h.tenant_id, day.bucket, h.number_id, h.direction, h.country, h.category, h.agent,
    h.broadcast, min(h.since) as since, sum(h.messages_free)::bigint as messages_free,
    sum(h.initial_units)::bigint as initial_units,
    sum(h.top_up_units)::bigint as top_up_units, sum(h.initial_cost)::bigint as initial_cost
from paid h
join tenants t on t.tenant_id = h.tenant_id
left join lateral (
    select bucket from usage_day d
    where d.tenant_id = h.tenant_id and d.bucket <= h.bucket and d.number_id = h.number_id
        and d.direction = h.direction and d.country = h.country and d.category = h.category
        and d.agent = h.agent and d.broadcast = h.broadcast
        and pg_temp.shown(t.zones, d.bucket)::date >= pg_temp.shown(t.zones, h.bucket)::date
    order by bucket desc
    limit 1
) day on true
group by 1, 2, 3, 4, 5, 6, 7, 8;

-- A row that is lost is nobody else's: what it counted is no figure of another hour.
do $$
declare
    lost record;
begin
    select t.key, moment(lost_row.since) as at, place into lost
    from (
        select tenant_id, since, 'usage_hour' as place from paid where bucket is null
        union all
        select tenant_id, since, 'usage_day' from paid_days where bucket is null
    ) lost_row
    join tenants t using (tenant_id)
    limit 1;
    if found then
        raise exception '% of % has no row for what was paid or free at %', lost.place, lost.key,
            lost.at
            using hint = 'The row is lost. The version before says which others are: verify.';
    end if;
end $$;

update usage_hour set messages_free = 0 where messages_free <> 0;
update usage_hour u set messages_free = paid.messages_free, initial_units = paid.initial_units,
    top_up_units = paid.top_up_units, initial_cost = paid.initial_cost
from paid
where u.tenant_id = paid.tenant_id and u.bucket = paid.bucket and u.number_id = paid.number_id
    and u.direction = paid.direction and u.country = paid.country and u.category = paid.category
    and u.agent = paid.agent and u.broadcast = paid.broadcast;
update usage_day set messages_free = 0 where messages_free <> 0;
update usage_day u set messages_free = paid.messages_free, initial_units = paid.initial_units,
    top_up_units = paid.top_up_units, initial_cost = paid.initial_cost
from paid_days paid
where u.tenant_id = paid.tenant_id and u.bucket = paid.bucket and u.number_id = paid.number_id
    and u.direction = paid.direction and u.country = paid.country and u.category = paid.category
    and u.agent = paid.agent and u.broadcast = paid.broadcast;
drop table paid, paid_days;
drop function pg_temp.shown, pg_temp.readable;
-- filled

do $$
declare
    name text;
begin
    foreach name in array array[
        'facts', 'charges', 'revisions', 'actions', 'lots', 'balances', 'tenants',
        'usage_hour', 'usage_day'
    ] loop
        execute format('alter table %I force row level security', name);
    end loop;
end $$;

-- migrate:down

drop index usage_day_broadcasts;
alter table usage_day drop column initial_cost, drop column top_up_units, drop column initial_units;
alter table usage_hour drop column initial_cost, drop column top_up_units, drop column initial_units;
