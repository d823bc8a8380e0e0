-- Each time a callback came, with the stamp it was signed with: what an auditor reads. The first fifty of each content
-- are kept; MTPay sends seventeen at most.
set local search_path = engine;

create table callback_attempt (
  callback     bigint not null references callback,
  n            integer not null check (n between 1 and 50),
  at           timestamptz not null default clock_timestamp(),
  key_id       text not null,
  timestamp_ms bigint not null,
  primary key (callback, n));
create trigger append_only before update or delete or truncate on callback_attempt for each statement execute function forbid();

grant select, insert on callback_attempt to app_api;
grant select on callback_attempt to app_decisions, auditor;

-- The evidence of one deposit is read through the API as well.
grant select on archive, archive_object, outgoing to app_api;
