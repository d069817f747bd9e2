-- migrate:up

-- Where alerts of a tenant are posted to. `kinds` are those that go there, none: all. `secret` signs
-- what is sent and is sealed, as is the one before it, which signs beside it until `secret_until`.
-- `failing_since` and `failed_at`: the first and the latest try that failed since one was taken;
-- `rests_until` is what the endpoint asked for.
create table webhook_endpoints (
    tenant_id bigint not null,
    endpoint_id bigint not null generated always as identity,
    url text not null,
    description text not null,
    kinds integer[] not null,
    secret text not null,
    secret_before text,
    secret_until bigint,
    created_at bigint not null,
    disabled_at bigint,
    disabled_reason text,
    failing_since bigint,
    failed_at bigint,
    rests_until bigint not null default 0,
    primary key (tenant_id, endpoint_id)
) with (fillfactor = 80);

-- Each alert on its way to one endpoint or mailbox: a row of the transaction that found out who is
-- told, and its task. `event` names it to whoever gets it, the same at each try. `body` is what is
-- sent, made once. `tried` counts the tries since it began, or was begun again.
create table deliveries (
    tenant_id bigint not null,
    delivery_id bigint not null generated always as identity,
    channel text not null collate "C",
    target_id bigint not null,
    event text not null collate "C",
    kind text not null collate "C",
    body bytea not null,
    address text not null,
    state smallint not null,
    tried smallint not null default 0,
    tries jsonb not null default '[]',
    created_at bigint not null,
    due_at bigint,
    ended_at bigint,
    primary key (tenant_id, delivery_id),
    unique (tenant_id, channel, target_id, event)
) with (fillfactor = 80);
-- What is over, oldest first, for whoever clears it away.
create index deliveries_ended on deliveries (ended_at) where ended_at is not null;

do $$
declare
    name text;
begin
    foreach name in array array['webhook_endpoints', 'deliveries'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy of_tenant on %I to kuota_app '
            'using (tenant_id = any ((select app_tenants())::bigint[]))', name);
    end loop;
end $$;
grant select, insert, update, delete on webhook_endpoints to kuota_app;
grant select, insert, update on deliveries to kuota_app;
create policy of_system on deliveries to kuota_system using (true);
grant select (tenant_id, delivery_id, ended_at), delete on deliveries to kuota_system;

-- migrate:down

drop table deliveries, webhook_endpoints;
