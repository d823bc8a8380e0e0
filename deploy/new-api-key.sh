#!/bin/sh
# Makes an API key and prints it: it is stored as a hash and cannot be shown again.
#   sh deploy/new-api-key.sh NAME [SCOPE,SCOPE…]        default scopes: deposits:create,deposits:read
# A name that stands already gets a new key; its old one stops working. The database is reached with psql, or with
# whatever PSQL says: PSQL='docker compose exec -T postgres psql -U postgres -d deposits'.
set -eu
name=${1:?usage: new-api-key.sh NAME [SCOPE,SCOPE…]}
scopes=${2:-deposits:create,deposits:read}

key="dek_$(head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')"
if command -v sha256sum >/dev/null; then
  hash=$(printf %s "$key" | sha256sum | cut -d' ' -f1)
else
  hash=$(printf %s "$key" | shasum -a 256 | cut -d' ' -f1)
fi

${PSQL:-psql} -q -v ON_ERROR_STOP=1 -v "name=$name" -v "scopes=$scopes" -v "hash=$hash" <<'SQL'
insert into engine.api_key (name, hash, scopes)
values (:'name', decode(:'hash', 'hex'), string_to_array(:'scopes', ','))
on conflict (name) do update set hash = excluded.hash, scopes = excluded.scopes, revoked_at = null;
SQL
echo "$key"
