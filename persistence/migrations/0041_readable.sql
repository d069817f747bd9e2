-- migrate:up

-- What nobody asked us to read may have a NUL escaped, which no text of Postgres can hold: each of
-- them is read as U+0001, in names too, for a name without its NUL might be another's. Escaped
-- backslashes before u0000 are no NUL. Hardly any fact has one: the others are read as they are.
create function readable(data text) returns json language sql immutable parallel safe
return case when strpos(data, '\u0000') = 0 then data
    else regexp_replace(data, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\u0001', 'g') end::json;
grant execute on function readable to kuota_app, kuota_system;

-- By the order of facts a contact may have nothing that moved it: it was another's message.
grant delete on contacts to kuota_app;

-- migrate:down

revoke delete on contacts from kuota_app;
drop function readable;
