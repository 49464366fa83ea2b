-- Money is bigint nano-USD, multipliers are ten-thousandths, times are timestamptz. Rows that usage refers to are
-- never deleted, only marked (deleted_at): a usage record must settle whatever became of its key.

-- One row: raised by a restore from backup, so that snapshots of the old time line never win over new ones.
create table database_epoch (
    only_row boolean primary key default true check (only_row),
    epoch bigint not null default 1
);
insert into database_epoch default values;

-- Every change of what workers enforce takes the next number in its own transaction.
create sequence revision_seq;

create table users (
    id bigint generated always as identity primary key,
    email text not null,
    password_hash text not null,
    role text not null default 'user' check (role in ('admin', 'user')),
    status text not null default 'active' check (status in ('active', 'disabled')),
    balance bigint not null default 0,
    concurrency int not null default 0 check (concurrency >= 0),
    rpm int not null default 0 check (rpm >= 0),
    revision bigint not null default nextval('revision_seq'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index users_email on users (lower(email)) where deleted_at is null;

-- Append only; users.balance is always the sum of its user's entries.
create table wallet_ledger (
    id bigint generated always as identity primary key,
    user_id bigint not null,
    kind text not null check (kind in ('top_up', 'charge', 'adjustment')),
    amount bigint not null,
    balance_after bigint not null,
    request_id text,
    note text not null default '',
    actor_id bigint,
    created_at timestamptz not null default now()
);
create index wallet_ledger_user on wallet_ledger (user_id, id desc);

create index wallet_ledger_request on wallet_ledger (request_id) where request_id is not null;

create table sessions (
    token_hash text primary key,
    user_id bigint not null references users (id),
    csrf_token text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index sessions_expiry on sessions (expires_at);
create index sessions_user on sessions (user_id);

create table groups (
    id bigint generated always as identity primary key,
    name text not null,
    platform text not null,
    status text not null default 'active' check (status in ('active', 'inactive')),
    multiplier bigint not null default 10000 check (multiplier >= 0),
    sort_order int not null default 0,
    claude_code_only boolean not null default false,
    fallback_group_id bigint references groups (id),
    subscription boolean not null default false,
    daily_limit bigint,
    weekly_limit bigint,
    monthly_limit bigint,
    model_allowlist jsonb not null default '[]',
    open boolean not null default false,
    revision bigint not null default nextval('revision_seq'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index groups_name on groups (name) where deleted_at is null;

create table proxies (
    id bigint generated always as identity primary key,
    name text not null,
    protocol text not null check (protocol in ('http', 'https', 'socks5')),
    host text not null,
    port int not null check (port between 1 and 65535),
    username text,
    password_sealed text,
    revision bigint not null default nextval('revision_seq'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index proxies_name on proxies (name) where deleted_at is null;

create table accounts (
    id bigint generated always as identity primary key,
    name text not null,
    platform text not null,
    type text not null check (type in ('oauth', 'setup_token', 'apikey', 'bedrock')),
    status text not null default 'active' check (status in ('active', 'inactive', 'error')),
    error_message text,
    -- Sealed JSON object of the secret fields; plain ones (base_url, auth_mode, region …) stand in credentials_plain.
    credentials_sealed text not null,
    credentials_plain jsonb not null default '{}',
    -- Names of the sealed fields, so that an account can be shown without opening it.
    credentials_sealed_fields jsonb not null default '[]',
    -- The fence of every write of credentials: compare-and-set on it.
    credentials_version bigint not null default 1,
    priority int not null default 50,
    concurrency int not null default 10 check (concurrency >= 0),
    rpm int not null default 0 check (rpm >= 0),
    multiplier bigint not null default 10000 check (multiplier >= 0),
    model_mapping jsonb not null default '{}',
    header_overrides jsonb not null default '{}',
    proxy_id bigint references proxies (id),
    schedulable boolean not null default true,
    upstream_protocol text not null default 'auto' check (upstream_protocol in ('auto', 'http1', 'h2')),
    expires_at timestamptz,
    pool_mode boolean not null default false,
    pool_retry_count int not null default 3 check (pool_retry_count between 0 and 10),
    custom_error_codes jsonb not null default '[]',
    temp_unschedulable_rules jsonb not null default '[]',
    quota_daily bigint,
    quota_weekly bigint,
    quota_total bigint,
    cache_ttl_override text check (cache_ttl_override in ('5m', '1h')),
    allow_overages boolean not null default false,
    last_used_at timestamptz,
    revision bigint not null default nextval('revision_seq'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index accounts_name on accounts (name) where deleted_at is null;

create table account_groups (
    account_id bigint not null references accounts (id),
    group_id bigint not null references groups (id),
    primary key (account_id, group_id)
);
create index account_groups_group on account_groups (group_id);

create table api_keys (
    id bigint generated always as identity primary key,
    name text not null,
    user_id bigint not null references users (id),
    group_id bigint not null references groups (id),
    -- SHA-256 of the key in hex; the key itself is shown once and kept nowhere.
    key_hash text not null unique,
    key_prefix text not null,
    status text not null default 'active' check (status in ('active', 'disabled')),
    quota bigint,
    quota_used bigint not null default 0,
    expires_at timestamptz,
    ip_whitelist jsonb not null default '[]',
    ip_blacklist jsonb not null default '[]',
    concurrency int not null default 0 check (concurrency >= 0),
    rpm int not null default 0 check (rpm >= 0),
    tpm int not null default 0 check (tpm >= 0),
    last_used_at timestamptz,
    revision bigint not null default nextval('revision_seq'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create index api_keys_user on api_keys (user_id) where deleted_at is null;
create index api_keys_group on api_keys (group_id) where deleted_at is null;

create table prices (
    id bigint generated always as identity primary key,
    model text not null,
    match text not null default 'exact' check (match in ('exact', 'prefix')),
    -- nano-USD per million tokens by class, and for calls: {"input":…,"output":…,"cache_write_5m":…}.
    rates jsonb not null,
    revision bigint not null default nextval('revision_seq'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index prices_model on prices (model, match) where deleted_at is null;

create table settings (
    name text primary key,
    value jsonb not null,
    revision bigint not null default nextval('revision_seq'),
    updated_at timestamptz not null default now()
);

-- What must still be told to Redis. Written in the transaction of the change, removed when it was published; a crash
-- between the two leaves the entry for the next poll of any control plane.
create table outbox (
    id bigint generated always as identity primary key,
    -- config: the configuration snapshot; key: one API key (subject = its id); user: all keys of a user;
    -- account: one account's credentials.
    kind text not null check (kind in ('config', 'key', 'user', 'account')),
    subject bigint not null default 0,
    created_at timestamptz not null default now()
);

create table audit_log (
    id bigint generated always as identity primary key,
    actor_id bigint,
    action text not null,
    resource text not null,
    resource_id bigint,
    -- What was asked for, secrets left out.
    detail jsonb not null default '{}',
    ip text not null default '',
    created_at timestamptz not null default now()
);
create index audit_log_resource on audit_log (resource, resource_id, id desc);

-- Every call that was settled, once. Unpartitioned, because a unique key on the monthly partitions would need the time
-- in it and let one id in twice around midnight.
create table settled (
    request_id text primary key,
    phase text not null check (phase in ('swept', 'final')),
    cost bigint not null,
    settled_at timestamptz not null default now()
);
create index settled_age on settled (settled_at);

-- No foreign keys: a record that names a deleted row must still settle.
create table usage_records (
    request_id text not null,
    created_at timestamptz not null,
    user_id bigint not null,
    key_id bigint not null,
    account_id bigint not null,
    group_id bigint not null,
    model text not null,
    upstream_model text not null,
    dialect text not null,
    stream boolean not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cache_creation_5m_tokens bigint not null,
    cache_creation_1h_tokens bigint not null,
    cache_read_tokens bigint not null,
    web_searches bigint not null default 0,
    cost bigint not null,
    account_cost bigint not null,
    multiplier bigint not null,
    account_multiplier bigint not null,
    price_version bigint not null default 0,
    duration_ms bigint not null,
    first_token_ms bigint,
    status int not null,
    ip text not null,
    user_agent text not null,
    usage_estimated boolean not null,
    cache_ttl_overridden boolean not null,
    "end" text not null,
    primary key (request_id, created_at)
) partition by range (created_at);
create table usage_records_default partition of usage_records default;
create index usage_records_key on usage_records (key_id, created_at desc);
create index usage_records_user on usage_records (user_id, created_at desc);
create index usage_records_account on usage_records (account_id, created_at desc);
create index usage_records_time on usage_records (created_at desc, request_id desc);

-- Sums by key and UTC day, kept in the transaction that settles: what /v1/usage and the dashboard read.
create table key_usage_daily (
    key_id bigint not null,
    day date not null,
    requests bigint not null default 0,
    input_tokens bigint not null default 0,
    output_tokens bigint not null default 0,
    cache_creation_tokens bigint not null default 0,
    cache_read_tokens bigint not null default 0,
    cost bigint not null default 0,
    primary key (key_id, day)
);

-- How far each partition's stream has been settled: the last stream id whose record is in the tables above.
create table settlement_positions (
    partition int primary key check (partition between 0 and 63),
    epoch text not null default '',
    last_id text not null default '0-0',
    updated_at timestamptz not null default now()
);
insert into settlement_positions (partition) select generate_series(0, 63);

-- A record that cannot be settled does not hold up the others; someone has to look at it here.
create table usage_dead_letter (
    id bigint generated always as identity primary key,
    partition int not null,
    stream_id text not null,
    record text not null,
    reason text not null,
    created_at timestamptz not null default now()
);

-- Live processes, for /admin/nodes and for deciding which snapshot formats are still needed.
create table nodes (
    id text primary key,
    kind text not null check (kind in ('control', 'worker')),
    version text not null,
    started_at timestamptz not null,
    seen_at timestamptz not null
);
