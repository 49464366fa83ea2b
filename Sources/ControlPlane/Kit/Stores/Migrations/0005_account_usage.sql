-- What is known of how much of an account is used. In a table of its own: samples come every few seconds, and are no
-- change of the account.
create table account_usage (
    account_id bigint primary key references accounts (id),
    -- Of the newest head of an answer that said something; older news changes nothing.
    sampled_at timestamptz,
    -- Utilisation in hundredths of a percent, ends in microseconds since 1970.
    windows jsonb not null default '{}',
    -- The end of the five hours in which a subscription's calls are counted together.
    session_end timestamptz,
    session_predicted boolean not null default false,
    -- What the upstream said when it was last asked and answered.
    probed_at timestamptz,
    figures jsonb not null default '{}'
);
