-- Ids of calls are compared as bytes: by the rules of a language each comparison costs several times as much, and each
-- call puts its id into three indexes.
alter table settled alter column request_id type text collate "C";
alter table usage_records alter column request_id type text collate "C";
alter table wallet_ledger alter column request_id type text collate "C";

-- Nothing reads the ledger by the call's id.
drop index wallet_ledger_request;

-- Ids are settled in the order of time, and only looked for by it to be forgotten.
drop index settled_age;
create index settled_age on settled using brin (settled_at);
