-- migrate:up

-- When the first mark was set of those that were not settled since: what must be settled in time.
alter table tenant_head add column unsettled_at bigint;
drop index tenant_head_unsettled;
create index tenant_head_unsettled on tenant_head (unsettled_at) where unsettled_from is not null;

-- Who publishes a book to rate anew marks its tenants.
grant update (unsettled_from, unsettled_at) on tenant_head to kuota_system;

-- migrate:down

revoke update (unsettled_from, unsettled_at) on tenant_head from kuota_system;

drop index tenant_head_unsettled;
create index tenant_head_unsettled on tenant_head (unsettled_from) where unsettled_from is not null;
alter table tenant_head drop column unsettled_at;
