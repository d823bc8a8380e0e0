#!/bin/bash
# As the official one: a master that reloads, in the foreground.
set -e
if [[ ${1:-} == haproxy ]]; then shift; set -- haproxy -W -db "$@"; fi
exec "$@"
