#!/usr/bin/env bash
# `npm run build`: plain JavaScript, the workflow bundle and the migrations, in dist/ or in the named directory.
# The directory must be inside the repository, because the built files import the packages of node_modules/.
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-dist}"
if [[ $# -gt 1 || $out == -* ]]; then
  echo 'npm run build [-- DIRECTORY]: one directory at most, inside the repository; by default dist' >&2
  exit 2
fi
PATH="$PWD/node_modules/.bin:$PATH"

rm -rf "$out"
tsc -p tsconfig.build.json --outDir "$out"
# worker/start.ts uses this bundle if it exists: a production worker needs no compiler and no sources.
tsx worker/bundle.ts "$out/workflow-bundle.js"
# Every row of the archive contains this version. COMMIT replaces git if the sources have no history, as in the image.
version="$(node -p 'require("./package.json").version')"
commit="${COMMIT:-$(git rev-parse --short=12 HEAD 2>/dev/null || true)}"
echo "$version${commit:++$commit}" > "$out/version.txt"
cp -R database/migrations database/catalogue.txt "$out/database/"
cp audit/replay-exceptions.json "$out/audit/"
cp config/failure-converter.cjs "$out/config/"
cp -R sandbox/migrations "$out/sandbox/"
