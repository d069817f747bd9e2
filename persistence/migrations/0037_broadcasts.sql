-- migrate:up

-- One row a contact (or group: party begins with U+001F) that was written to in a broadcast; states
-- are bits: 1 sent, 2 delivered, 4 read, 8 failed. They are only ever added.
create table broadcast_recipients (
    tenant_id bigint not null,
    broadcast text collate "C" not null,
    channel smallint not null,
    party text collate "C" not null,
    states smallint not null,
    primary key (tenant_id, broadcast, channel, party)
) with (fillfactor = 70);

-- What they come to. Whoever was reached did not fail; the rest of the recipients is pending.
create table broadcasts (
    tenant_id bigint not null,
    broadcast text collate "C" not null,
    first_at bigint not null,
    last_at bigint not null,
    recipients bigint not null,
    delivered bigint not null,
    read bigint not null,
    failed bigint not null,
    primary key (tenant_id, broadcast)
) with (fillfactor = 50);
create index broadcasts_begun on broadcasts (tenant_id, first_at, broadcast);

-- A user and a quarter of an hour in which it did what a fact names it for.
create table user_activity (
    tenant_id bigint not null,
    agent text collate "C" not null,
    quarter bigint not null,
    first_at bigint not null,
    last_at bigint not null,
    primary key (tenant_id, agent, quarter)
) with (fillfactor = 80);

-- All of it is there already, in the facts; an owner who is no superuser sees no rows of them while
-- policies hold for owners as well.
alter table facts no force row level security;
alter table numbers no force row level security;

-- What nobody asked us to read may have a NUL escaped,
-- which no text of Postgres can hold: it is read as U+0001, where its backslash is none that is
-- escaped.
create function pg_temp.readable(data text) returns json immutable return
    case when strpos(data, '\u0000') = 0 then data
        else regexp_replace(data, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\u0001', 'g') end::json;

insert into broadcast_recipients
select tenant_id, broadcast, channel, party,
    bit_or(case type when 2 then 1 when 3 then 2 when 4 then 4 when 5 then 4 else 8 end)::smallint
from (
    select f.tenant_id, n.channel, f.party, f.type,
        pg_temp.readable(f.data) ->> 'broadcast' as broadcast
    from facts f join numbers n on n.tenant_id = f.tenant_id and n.number_id = f.number_id
    where f.type in (2, 3, 4, 5, 6) and f.data like '%"broadcast":"%'
) told
where broadcast <> ''
group by tenant_id, broadcast, channel, party;

insert into broadcasts
select spans.tenant_id, spans.broadcast, first_at, last_at, recipients, delivered, read, failed
from (
    select tenant_id, broadcast, min(at) as first_at, max(at) as last_at
    from (
        select tenant_id, at, pg_temp.readable(data) ->> 'broadcast' as broadcast
        from facts where type in (2, 3, 4, 5, 6) and data like '%"broadcast":"%'
    ) told
    where broadcast <> ''
    group by tenant_id, broadcast
) spans
join (
    select tenant_id, broadcast, count(*) as recipients,
        count(*) filter (where states & 6 <> 0) as delivered,
        count(*) filter (where states & 4 <> 0) as read,
        count(*) filter (where states & 14 = 8) as failed
    from broadcast_recipients
    group by tenant_id, broadcast
) counts using (tenant_id, broadcast);

-- A call is of its beginning: its seconds, rounded up, before its end. That a message was read,
-- played or failed is not the user's doing.
insert into user_activity
select tenant_id, agent, began - began % 900000000, min(began), max(began)
from (
    select tenant_id, data ->> 'user' as agent,
        case when type = 7
            then at - 1000000 * ceil(coalesce((data ->> 'seconds')::numeric, 0))::bigint else at
        end as began
    from (
        select tenant_id, at, type, pg_temp.readable(data) as data
        from facts where type not in (4, 5, 6) and data like '%"user":"%'
        offset 0
    ) told
) told
where agent <> ''
group by tenant_id, agent, began - began % 900000000;
drop function pg_temp.readable;

alter table facts force row level security;
alter table numbers force row level security;
do $$
declare
    name text;
begin
    foreach name in array array['broadcast_recipients', 'broadcasts', 'user_activity'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy of_tenant on %I to kuota_app '
            'using (tenant_id = any ((select app_tenants())::bigint[]))', name);
    end loop;
end $$;
grant select, insert, update on broadcast_recipients, broadcasts, user_activity to kuota_app;

-- migrate:down

drop table user_activity, broadcasts, broadcast_recipients;
