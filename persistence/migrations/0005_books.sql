-- migrate:up

-- A book is published by an operator, of no tenant: whoever is charged by it reads its terms again.
grant insert on books, rules to kuota_system;
grant update (settings) on tenant_head to kuota_system;

-- migrate:down

revoke update (settings) on tenant_head from kuota_system;
revoke insert on books, rules from kuota_system;
