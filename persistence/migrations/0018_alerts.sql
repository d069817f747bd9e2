-- migrate:up

-- What was raised of a tenant's balances, by the transaction that moved them. Nobody changes or
-- removes one; that somebody has seen it is said beside it.
create table alerts (
    tenant_id bigint not null,
    version bigint not null,
    line integer not null,
    alert_id bigint not null generated always as identity,
    balance_id smallint not null,
    kind smallint not null,
    measure smallint not null,
    threshold bigint not null,
    remaining bigint not null,
    base bigint not null,
    at bigint not null,
    cause smallint not null,
    cause_id text not null collate "C",
    acknowledged_at bigint,
    primary key (tenant_id, version, line)
);
create unique index alerts_by_id on alerts (tenant_id, alert_id);
alter table alerts enable row level security;
alter table alerts force row level security;
create policy of_tenant on alerts to kuota_app
    using (tenant_id = any ((select app_tenants())::bigint[]));
grant select, insert on alerts to kuota_app;
grant update (acknowledged_at) on alerts to kuota_app;

-- The latest version with alerts, 0: none has; and the thresholds that are passed, as alerts say:
-- balance, measure and value of each. Null: a log is taken in, and nothing is raised.
alter table tenant_head add column alerted bigint not null default 0;
alter table tenant_head add column below text collate "C" default '[]';

-- migrate:down

alter table tenant_head drop column below;
alter table tenant_head drop column alerted;
drop table alerts;
