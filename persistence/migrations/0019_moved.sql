-- migrate:up

-- When something was moved last by an action without being used, and the latest instant of a fact
-- or an action: what comes behind either may stand before it in fact order, and is settled then.
alter table tenant_head add column moved_at bigint not null default 0;
alter table tenant_head add column latest_at bigint not null default 0;

-- Adjustments and refunds move. What facts only met, and took nothing from, is not looked for.
update tenant_head h set
    moved_at = coalesce((
        select max(at) from actions a where a.tenant_id = h.tenant_id and a.kind in (2, 3)
    ), 0),
    latest_at = greatest(
        (select max(at) from actions a where a.tenant_id = h.tenant_id),
        (select max(drawn_at) from lots l where l.tenant_id = h.tenant_id),
        0
    );

-- migrate:down

alter table tenant_head drop column latest_at;
alter table tenant_head drop column moved_at;
