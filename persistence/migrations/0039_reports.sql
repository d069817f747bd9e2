-- migrate:up

-- An export is of a year of documents, or of what its spec says: a report. `total` and `done` count
-- documents of the one and rows of the other.
alter table exports alter column year drop not null;
alter table exports add column spec jsonb;
-- Whether it says what anything costs, which not everybody may see.
alter table exports add column money boolean not null default true;
-- Why one that was given up could not be made, in words for whoever wanted it.
alter table exports add column error text;
alter table exports add constraint exports_of check ((year is null) <> (spec is null));

-- The ledger in the order of its instants, for reports of a range.
create index transfers_in_order on transfers (tenant_id, at, version, line);

-- migrate:down

drop index transfers_in_order;
alter table exports drop constraint exports_of;
delete from export_parts p using exports e
where e.tenant_id = p.tenant_id and e.export_id = p.export_id and e.year is null;
delete from exports where year is null;
alter table exports drop column error, drop column money, drop column spec;
alter table exports alter column year set not null;
