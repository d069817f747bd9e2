-- migrate:up

-- When a key was last taken, to the minute; and what a widget's token is bound to: the origins of
-- its pages and the stored documents they may ask for. A row with origins is a widget's, of one
-- tenant, with an end; revoking the key that made it revokes it too.
alter table api_keys
    add column last_used_at bigint,
    add column origins text[] collate "C",
    add column documents text[] collate "C",
    add column made_by bigint,
    add constraint api_keys_of_a_widget check (
        case when origins is null then documents is null and made_by is null
        else documents is not null and tenant_id is not null and expires_at is not null end
    );

-- Whether any widget is welcome from an origin: asked when a page opens a socket.
create index api_keys_origins on api_keys using gin (origins) where origins is not null;
-- Tokens that are revoked with the key that made them, and those that ended, to be cleared away.
create index api_keys_made_by on api_keys (made_by) where made_by is not null;
create index api_keys_ended on api_keys (expires_at) where origins is not null;

revoke update on api_keys from kuota_app, kuota_system;
grant update (revoked_at) on api_keys to kuota_app;
grant update (revoked_at, last_used_at) on api_keys to kuota_system;
grant delete on api_keys to kuota_system;
create policy widgets_alone on api_keys as restrictive for delete to kuota_system
    using (origins is not null);

-- migrate:down

drop policy widgets_alone on api_keys;
revoke delete on api_keys from kuota_system;
revoke update (revoked_at, last_used_at) on api_keys from kuota_system;
revoke update (revoked_at) on api_keys from kuota_app;
grant update on api_keys to kuota_app, kuota_system;
delete from api_keys where origins is not null;
alter table api_keys
    drop constraint api_keys_of_a_widget,
    drop column made_by,
    drop column documents,
    drop column origins,
    drop column last_used_at;
