#!/bin/sh
# `docker compose up -d` for a project that runs: it is touched only when the settings can be used.
#   sh deploy/up.sh [--build] [--scale worker=3 …]     with COMPOSE_PROFILES=sandbox for the sandbox
# `up` alone makes containers anew before it starts any, `settings` among them: with a wrong .env it stops what runs. And
# Compose below 2.30 makes everything anew that waits for a container it makes anew, and all wait for `settings`.
set -eu
case " $* " in *" --build "*) docker compose build -q settings ;; esac
docker compose run --rm --no-deps -T settings
exec docker compose up -d --scale settings=0 "$@"
