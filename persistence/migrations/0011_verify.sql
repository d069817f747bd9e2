-- migrate:up

-- What an action's row said when it was kept, for verifying; null: kept before this column was.
alter table actions add column digest bytea;

-- migrate:down

alter table actions drop column digest;
