-- migrate:up

-- The sweep looks at the latest commits of all tenants; it reads which, not what was in them.
create policy of_system on commits to kuota_system using (true);
grant select (tenant_id, version, at) on commits to kuota_system;

-- migrate:down

revoke select (tenant_id, version, at) on commits from kuota_system;
drop policy of_system on commits;
