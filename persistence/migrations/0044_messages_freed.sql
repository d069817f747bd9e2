-- migrate:up

-- By a book that charges on another status, what charged a message may be nothing to charge.
grant delete on messages to kuota_app;

-- migrate:down

revoke delete on messages from kuota_app;
