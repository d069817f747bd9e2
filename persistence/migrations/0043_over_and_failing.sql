-- migrate:up

-- Letters with reports that are over, oldest first, for whoever clears them away. One that never
-- went counts from when it began: it is tried for little more than a day.
create index report_letters_over on report_letters (coalesce(sent_at, created_at))
    where state <> 1;

create policy of_system on report_letters to kuota_system using (true);
grant select (tenant_id, export_id, place, state, created_at, sent_at), delete
    on report_letters to kuota_system;

-- How often a task failed in a row, the last time at which of its tries: many are taken again and
-- again as they should be.
alter table tasks
    add column failures integer not null default 0,
    add column failed_try integer not null default 0;

-- migrate:down

alter table tasks drop column failures, drop column failed_try;
revoke select (tenant_id, export_id, place, state, created_at, sent_at), delete
    on report_letters from kuota_system;
drop policy of_system on report_letters;
drop index report_letters_over;
