#!/bin/sh
# Replaces the containers of services one after the other, so that requests and deposits go on in the others:
#   docker compose build && docker compose run --rm --no-deps migrate && sh deploy/roll.sh worker api callbacks
# For each container a new one is started from the image and the settings as they are now, and when it works, the old one
# is stopped. A service has as many containers afterwards as before. Each has to have been started with `up` already.
set -eu
wait_seconds=120

compose() { docker compose "$@"; }
state_of() { docker inspect --format '{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}' "$1"; }

replace() { # service container: true when a new one works in its place
  old=$2
  before=$(compose ps -q "$1" | sort)
  compose up -d --no-deps --no-recreate --scale "$1=$(($(echo "$before" | wc -l) + 1))" "$1"
  new=$(compose ps -q "$1" | sort | while read -r id; do echo "$before" | grep -q "$id" || echo "$id"; done)
  waited=0
  while :; do
    # Worker and notifier have no health check: it must run, and its log must say that it is ready.
    case $(state_of "$new") in
      "running healthy") break ;;
      "running ") if docker logs "$new" 2>&1 | grep -qE '"(worker|notifier) ready"'; then break; fi ;;
    esac
    if [ "$waited" -ge "$wait_seconds" ]; then
      docker logs --tail 5 "$new" >&2
      docker rm -f "$new" >/dev/null
      echo "$1: the new container does not work; it was removed, and the old ones go on" >&2
      exit 1
    fi
    sleep 1
    waited=$((waited + 1))
  done
  # Waits up to the service's stop_grace_period, so that running work is finished.
  docker stop "$old" >/dev/null
  docker rm "$old" >/dev/null
  echo "$1: $old is replaced by $new"
}

[ $# -gt 0 ] || { sed -n '2,6p' "$0" | cut -c3- >&2; exit 2; }
for service in "$@"; do
  containers=$(compose ps -q "$service")
  [ -n "$containers" ] || { echo "$service is not running" >&2; exit 1; }
  for container in $containers; do replace "$service" "$container"; done
done
