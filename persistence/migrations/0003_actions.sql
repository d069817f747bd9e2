-- migrate:up

-- What an action speaks of: a charge or a top-up. Asked for under the lock, and beside each charge.
alter table actions add column subject text collate "C";
create index actions_of_subject on actions (tenant_id, subject) where subject is not null;
create index actions_newest on actions (tenant_id, kind, action_id);

-- What was moved between lots without being used (causes PAY_OFF, REFUND, ADJUST, TAKE_BACK): who
-- paid off an overdraft is asked when what it paid is refunded, and what was moved on a day when an
-- instant of that day is.
create index transfers_moves on transfers (tenant_id, at) where cause in (4, 6, 7, 8);

-- migrate:down

drop index transfers_moves, actions_newest, actions_of_subject;
alter table actions drop column subject;
