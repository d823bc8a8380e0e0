#!/bin/sh
# `docker compose up -d` for a running project: changes it only if the settings are valid.
#   sh deploy/up.sh [--build] [--scale worker=3 …]     with COMPOSE_PROFILES=sandbox,notifications for both
# `up` alone recreates containers before it starts any, including `settings`: with a wrong .env it stops running ones.
# Compose below 2.30 also recreates every container that waits for a recreated one, and all wait for `settings`.
set -eu
case " $* " in *" --build "*) docker compose build -q settings ;; esac
docker compose run --rm --no-deps -T settings
exec docker compose up -d --scale settings=0 "$@"
