-- What has been spent through accounts, before the group's multiplier. In a table of its own: every settlement changes it,
-- and must not wait for whoever edits the account. Times are milliseconds since 1970.
create table account_quotas (
    account_id bigint primary key,
    daily_used bigint not null default 0,
    -- Of the first use in the period; it ends a day, or a week, later. Null before there was one.
    daily_start_ms bigint,
    -- What ended before this belongs to an earlier period.
    daily_floor_ms bigint not null default 0,
    weekly_used bigint not null default 0,
    weekly_start_ms bigint,
    weekly_floor_ms bigint not null default 0,
    total_used bigint not null default 0,
    total_start_ms bigint,
    total_floor_ms bigint not null default 0,
    -- Raised with each change under the row's lock: what is published under a lower one never replaces what stands.
    seq bigint not null default 0
);
