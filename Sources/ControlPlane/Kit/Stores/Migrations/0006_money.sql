-- What has been spent, in the numbers that workers count against. Every row that has such a number also has a sequence,
-- raised with each change under the row's lock: what is published under a lower one never replaces what stands.
alter table users add column money_seq bigint not null default 0;
alter table api_keys add column money_seq bigint not null default 0;

-- The periodic limit of a key. Windows are anchor + n · period; "used" is of the one that begins at window_start_ms.
create table key_policies (
    key_id bigint primary key references api_keys (id),
    period text not null check (period in ('5h', 'daily', 'weekly', 'monthly', 'custom')),
    custom_minutes int check (custom_minutes between 1 and 525600),
    anchor_time timestamptz not null,
    quota bigint not null check (quota > 0),
    boundary text not null check (boundary in ('strict', 'graceful')),
    exhausted_action text not null check (exhausted_action in ('reject', 'disable_key')),
    auto_resume boolean not null,
    -- Another period or anchor is another version; a manual reset is another epoch. Both begin at 0 used.
    version bigint not null default 1,
    reset_epoch bigint not null default 0,
    window_start_ms bigint not null,
    used bigint not null default 0,
    money_seq bigint not null default 0,
    -- The window in which it was exhausted, until it recovers.
    exhausted_window_ms bigint,
    -- When that ends by itself; null until a manual reset.
    exhausted_until_ms bigint,
    check ((period = 'custom') = (custom_minutes is not null))
);

-- Entries of the usage log about policies: exhausted, recovered, reset.
create table policy_events (
    id bigint generated always as identity primary key,
    created_at timestamptz not null default now(),
    key_id bigint not null,
    user_id bigint not null,
    kind text not null check (kind in ('exhausted', 'recovered', 'reset')),
    window_start_ms bigint not null,
    actor_id bigint
);
create index policy_events_key on policy_events (key_id, id desc);
create index policy_events_time on policy_events (created_at desc, id desc);

create table subscriptions (
    id bigint generated always as identity primary key,
    user_id bigint not null references users (id),
    group_id bigint not null references groups (id),
    starts_at timestamptz not null,
    expires_at timestamptz not null,
    status text not null default 'active' check (status in ('active', 'suspended')),
    day_start_ms bigint not null,
    day_used bigint not null default 0,
    week_start_ms bigint not null,
    week_used bigint not null default 0,
    month_start_ms bigint not null,
    month_used bigint not null default 0,
    money_seq bigint not null default 0,
    revision bigint not null default nextval('revision_seq'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    check (expires_at > starts_at)
);
create index subscriptions_user on subscriptions (user_id) where deleted_at is null;
create index subscriptions_group on subscriptions (group_id) where deleted_at is null;

-- What a call was counted against, frozen when it was admitted.
alter table usage_records
    add column has_quota boolean not null default false,
    add column policy_version bigint,
    add column policy_epoch bigint,
    add column policy_window bigint,
    add column subscription_id bigint,
    add column subscription_day bigint,
    add column subscription_week bigint,
    add column subscription_month bigint;

-- A further kind, money: what a user has spent, to be written into Redis. Which kinds there are is the program's business.
alter table outbox drop constraint outbox_kind_check;
