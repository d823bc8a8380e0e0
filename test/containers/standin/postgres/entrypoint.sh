#!/bin/bash
# The official entrypoint's ways, as far as the compose file needs them: user postgres, a password, initdb's arguments,
# SQL scripts run while the server listens on its socket only.
set -eu -o pipefail
[[ ${1:-} == postgres ]] || exec "$@"
chmod 700 "$PGDATA"
if [[ ! -s $PGDATA/PG_VERSION ]]; then
  [[ -n ${POSTGRES_PASSWORD:-} ]] || { echo 'Error: Database is uninitialized and superuser password is not specified.' >&2; exit 1; }
  eval 'initdb --username=postgres --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") '"${POSTGRES_INITDB_ARGS:-}"
  printf '\nhost all all all %s\n' "$(postgres -C password_encryption)" >>"$PGDATA/pg_hba.conf"
  export PGPASSWORD=$POSTGRES_PASSWORD
  pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
  for script in /docker-entrypoint-initdb.d/*.sql; do psql -v ON_ERROR_STOP=1 --no-psqlrc -U postgres -f "$script"; done
  pg_ctl -D "$PGDATA" -m fast -w stop
  unset PGPASSWORD
fi
exec "$@"
