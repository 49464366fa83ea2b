-- What upstreams have said of an account, as workers told it: flags with an end (rate limited, overloaded, paused, a
-- limited model), and of an error what kind of refusal it was.
alter table accounts
    -- Name of the flag -> 'end set guessed cause url reason', times in microseconds since 1970; as in Redis.
    add column flags jsonb not null default '{}',
    -- Name of the flag -> when the newest event of it happened, on Redis' clock: older ones change nothing.
    add column flag_times jsonb not null default '{}',
    -- News of before an admin recovered the account or cleared its flags change nothing: microseconds since 1970.
    add column recovered_at bigint not null default 0,
    add column forbidden_type text,
    add column validation_url text;
create index accounts_flagged on accounts (id) where flags <> '{}' and deleted_at is null;

-- account_flags: its flags are to be forgotten in Redis; account_error: its error as well.
alter table outbox drop constraint outbox_kind_check;
alter table outbox add constraint outbox_kind_check
    check (kind in ('config', 'key', 'user', 'account', 'account_flags', 'account_error'));
