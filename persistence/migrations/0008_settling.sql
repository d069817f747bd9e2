-- migrate:up

-- What a lot is called within its balance, whoever made it and in which order: folded again, it is
-- the lot it was. `lots_once` said so of allowances and overdrafts alone.
alter table lots add column origin text collate "C";
alter table lots no force row level security;
alter table actions no force row level security;
update lots set origin = case
        when month is null or month = 0 then null
        else case source when 1 then 'allowance/' else 'overdraft/' end
            || to_char(make_date(month / 12, month % 12 + 1, 1), 'YYYY-MM')
    end
where source in (1, 5);
update lots set origin = 'overdraft' where source = 5 and origin is null;
update lots l set origin = 'action/' || a.idempotency_key
from actions a
where a.tenant_id = l.tenant_id and l.origin is null and (
    (a.body ->> 'lot_id')::integer = l.lot_id
    or exists (
        select from jsonb_array_elements(a.body -> 'moves') move
        where (move ->> 0)::integer = l.lot_id and l.created_at = a.at
    )
);
update lots set origin = 'lot/' || lot_id where origin is null;
alter table lots force row level security;
alter table actions force row level security;
alter table lots alter column origin set not null;
create unique index lots_origin on lots (tenant_id, balance_id, origin);
drop index lots_once;

create index tenant_head_unsettled on tenant_head (unsettled_from) where unsettled_from is not null;

-- Who charges a message follows from the order of its facts, which settling works out.
grant update (charged_by, charged_at) on messages to kuota_app;

-- One settling a tenant at a time is a lock of the session, which no crash leaves behind.
drop index settlements_one_open;
alter table settlements alter column version set not null;
create index settlements_newest on settlements (tenant_id, settlement_id);

-- migrate:down

drop index settlements_newest;
alter table settlements alter column version drop not null;
create unique index settlements_one_open on settlements (tenant_id) where version is null;
revoke update (charged_by, charged_at) on messages from kuota_app;
drop index tenant_head_unsettled;
create unique index lots_once on lots (tenant_id, balance_id, source, month) where month is not null;
drop index lots_origin;
alter table lots drop column origin;
