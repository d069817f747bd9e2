-- migrate:up

-- An operator names a subscription by its id, and no tenant.
create index subscriptions_by_id on subscriptions (subscription_id);
create policy of_system on subscriptions to kuota_system using (true);
grant select (tenant_id, subscription_id) on subscriptions to kuota_system;

-- migrate:down

revoke select (tenant_id, subscription_id) on subscriptions from kuota_system;
drop policy of_system on subscriptions;
drop index subscriptions_by_id;
