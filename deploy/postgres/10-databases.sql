-- The PostgreSQL image runs this once, on an empty server, as its superuser: an owner and a database for each program.
-- The migrations create the engine's roles; passwords.sql sets their passwords.
\set ON_ERROR_STOP on
\getenv migrator_password MIGRATOR_DATABASE_PASSWORD
\getenv temporal_password TEMPORAL_DATABASE_PASSWORD
\getenv sandbox_password SANDBOX_DATABASE_PASSWORD

-- createrole, because 002-ledger.sql and 003-roles.sql create the roles of the engine.
create role deposits_migrator login createrole password :'migrator_password';
create database deposits owner deposits_migrator;
revoke connect, temporary on database deposits from public;

create role temporal login password :'temporal_password';
create database temporal owner temporal;
create database temporal_visibility owner temporal;
revoke connect, temporary on database temporal, temporal_visibility from public;

-- Without a password nobody can log in as this role; only a running sandbox needs to.
create role sandbox login;
create database sandbox owner sandbox;
revoke connect, temporary on database sandbox from public;
select :'sandbox_password' <> '' as sandbox_wanted \gset
\if :sandbox_wanted
  alter role sandbox password :'sandbox_password';
\endif

-- A login that takes thousands of advisory locks fills the server's lock table, and then no client can connect
-- (docs/internals/threat-model.md).
\connect deposits
do $$ declare f regprocedure; begin
  for f in select oid from pg_proc where proname ~ '^pg_(try_)?advisory_' loop
    execute format('revoke execute on function %s from public', f);
    execute format('grant execute on function %s to deposits_migrator', f);
  end loop;
end $$;
