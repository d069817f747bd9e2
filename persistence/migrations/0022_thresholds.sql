-- migrate:up

-- The thresholds that a tenant set itself: by balance, what it is watched for beside zero. A balance
-- that is not there is watched for what every balance is.
alter table tenants add column thresholds jsonb not null default '{}';
grant update (thresholds) on tenants to kuota_app;

-- The latest that was said of one threshold of one balance.
create index alerts_by_threshold on alerts
    (tenant_id, balance_id, measure, threshold, version, line);

-- migrate:down

drop index alerts_by_threshold;
alter table tenants drop column thresholds;
