-- Sign-in of OAuth accounts, and the renewal of their tokens.

alter table accounts
    -- The credentials_version with which a secret was last written. Versions from here on carry the same tokens.
    add column secrets_version bigint not null default 1,
    -- When the present access token was issued, where that is known.
    add column token_issued_at timestamptz,
    -- The refresh token is of no use any more: somebody must sign in again.
    add column needs_sign_in boolean not null default false,
    -- Why the last renewal failed, for admins; null when it did not.
    add column refresh_error text,
    -- Renewals that have failed since the last one that did not.
    add column refresh_failures int not null default 0,
    -- No renewal in the background before; set for a while by whoever is about to try.
    add column refresh_retry_at timestamptz;

update accounts set secrets_version = credentials_version;

-- Sign-ins that wait for their code.
create table sign_ins (
    id bigint generated always as identity primary key,
    -- SHA-256 of the state, which the browser brings back; good once.
    state_hash text not null unique,
    -- The admin's session, which ends with it.
    session_hash text not null,
    platform text not null,
    -- The account that is signed in again; null for a new one.
    account_id bigint references accounts (id),
    proxy_id bigint references proxies (id),
    -- The code verifier of PKCE, sealed.
    verifier_sealed text not null,
    redirect_url text not null,
    expires_at timestamptz not null
);
create index sign_ins_expiry on sign_ins (expires_at);
