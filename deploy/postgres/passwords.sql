-- Runs after every migration, as the migrations' own role: sets the passwords of the engine's logins from the
-- environment. Idempotent; a changed password takes effect with the next connection.
\set ON_ERROR_STOP on
\getenv api_password API_DATABASE_PASSWORD
\getenv worker_password WORKER_DATABASE_PASSWORD
\getenv decisions_password DECISIONS_DATABASE_PASSWORD

-- `alter role … password ''` would mean "no password", so an empty one is an error.
select :'api_password' = '' or :'worker_password' = '' or :'decisions_password' = '' as missing \gset
\if :missing
  do $$ begin raise exception 'API_DATABASE_PASSWORD, WORKER_DATABASE_PASSWORD and DECISIONS_DATABASE_PASSWORD must be set'; end $$;
\endif

-- The passwords of the audit's logins, if the audit has its own.
\getenv auditor_password AUDITOR_DATABASE_PASSWORD
\getenv archiver_password ARCHIVER_DATABASE_PASSWORD
\if :{?auditor_password}
\else
  \set auditor_password ''
\endif
\if :{?archiver_password}
\else
  \set archiver_password ''
\endif
select :'auditor_password' <> '' as auditor_wanted, :'archiver_password' <> '' as archiver_wanted \gset
\if :auditor_wanted
  alter role auditor password :'auditor_password';
\endif
\if :archiver_wanted
  alter role archiver password :'archiver_password';
\endif

-- And of the process that sends events, where there are endpoints.
\getenv notifier_password NOTIFIER_DATABASE_PASSWORD
\if :{?notifier_password}
\else
  \set notifier_password ''
\endif
select :'notifier_password' <> '' as notifier_wanted \gset
\if :notifier_wanted
  alter role app_notifier password :'notifier_password';
\else
  \echo 'NOTIFIER_DATABASE_PASSWORD is not set: app_notifier gets no password, and no event is sent by this login.'
\endif

alter role app_api password :'api_password';
alter role app_worker password :'worker_password';
alter role app_decisions password :'decisions_password';
grant connect on database :"DBNAME" to app_api, app_worker, app_decisions, app_notifier, auditor, archiver;
