-- migrate:up

-- Where alerts of a tenant are mailed to. `kinds` are those that go there. Quiet hours are minutes
-- of the local day, null: there are none; `urgent_anyway`: what cannot wait goes in them as well.
create table mailboxes (
    tenant_id bigint not null,
    mailbox_id bigint not null generated always as identity,
    email text not null,
    locale text not null,
    kinds integer[] not null,
    quiet_from smallint,
    quiet_until smallint,
    urgent_anyway boolean not null,
    created_at bigint not null,
    last_sent_at bigint,
    last_error text,
    primary key (tenant_id, mailbox_id),
    unique (tenant_id, email)
) with (fillfactor = 80);
alter table mailboxes enable row level security;
alter table mailboxes force row level security;
create policy of_tenant on mailboxes to kuota_app
    using (tenant_id = any ((select app_tenants())::bigint[]));
grant select, insert, update, delete on mailboxes to kuota_app;

-- The delivery by which the letter is named that an alert goes with; null: it is in none yet. A
-- letter's text is the body of that delivery.
alter table deliveries add column letter_id bigint;
-- What is on its way to a mailbox, for whoever writes its next letter.
create index deliveries_to_mail on deliveries (tenant_id, target_id, delivery_id)
    where channel = 'mail' and ended_at is null;

-- migrate:down

drop index deliveries_to_mail;
alter table deliveries drop column letter_id;
drop table mailboxes;
