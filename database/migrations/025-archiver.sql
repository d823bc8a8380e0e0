-- Who lets the archive catch up before an audit: it appends histories and does nothing else. The auditor only reads.
do $$ begin
  if not exists (select from pg_roles where rolname = 'archiver') then
    begin create role archiver login;
    exception when duplicate_object or unique_violation then null; end;
  end if;
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant archiver to %I', current_user);
  end if;
end $$;

grant usage on schema engine to archiver;
grant select on engine.archive, engine.archive_due, engine.archive_lost, engine.archive_object to archiver;
grant execute on function engine.append_archive(text, text, text, text, timestamptz, integer, bytea, bytea, text, text),
  engine.archive_done(text, timestamptz) to archiver;
set local role engine_owner;
grant execute on function engine.archive_look(integer), engine.archive_lose(text, text), engine.archive_put(bytea, text, bytea) to archiver;
reset role;
