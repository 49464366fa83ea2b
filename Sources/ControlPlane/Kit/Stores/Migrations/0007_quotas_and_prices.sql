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

-- How much a model takes and gives at most: calls reserve no more.
alter table prices
    add column max_input_tokens bigint check (max_input_tokens > 0),
    add column max_output_tokens bigint check (max_output_tokens > 0);

-- Every version that a price ever had, so that a usage row keeps the prices that it names.
create table price_versions (
    version bigint primary key,
    model text not null,
    match text not null,
    rates jsonb not null
);
insert into price_versions (version, model, match, rates) select revision, model, match, rates from prices;

create function keep_price_version() returns trigger language plpgsql as $$
begin
    insert into price_versions (version, model, match, rates) values (new.revision, new.model, new.match, new.rates)
        on conflict do nothing;
    return new;
end $$;
create trigger prices_version after insert or update on prices for each row execute function keep_price_version();

-- As which the upstream has served the call.
alter table usage_records add column service_tier text not null default 'standard';

-- Policy events are entries of the usage log, listed with calls.
create index policy_events_user on policy_events (user_id, created_at desc, id desc);
