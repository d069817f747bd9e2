-- migrate:up

-- Those of the latest closing are read while the next one keeps its own.
alter table closing_contacts drop constraint closing_contacts_pkey;
alter table closing_contacts
    add primary key (tenant_id, closed_until, channel, party, number_id);

-- migrate:down

delete from closing_contacts c
where closed_until < (select max(closed_until) from closing_contacts where tenant_id = c.tenant_id);
alter table closing_contacts drop constraint closing_contacts_pkey;
alter table closing_contacts add primary key (tenant_id, channel, party, number_id);
