#!/usr/bin/env bash
# `npm run client:build`: the client as a package that npm can pack, in client/dist/, or all of it in the named directory.
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-client}"
if [[ $# -gt 1 || $out == -* ]]; then
  echo 'npm run client:build [-- DIRECTORY]: one directory at most; by default client' >&2
  exit 2
fi
PATH="$PWD/node_modules/.bin:$PATH"

rm -rf "$out/dist"
tsc -p client/tsconfig.json --outDir "$out/dist"
cp client/src/schema.d.ts "$out/dist/"
[[ $out == client ]] || cp client/package.json LICENSE "$out/"
