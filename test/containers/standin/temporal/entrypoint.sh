#!/bin/sh
# The official entrypoint's ways: an address to listen on, and one to be known under.
set -eu
own() { getent hosts "$(hostname)" | awk '{print $1;}'; }
: "${BIND_ON_IP:=$(own)}"
case $BIND_ON_IP in 0.0.0.0 | ::0) : "${TEMPORAL_BROADCAST_ADDRESS:=$(own)}" && export TEMPORAL_BROADCAST_ADDRESS ;; esac
export BIND_ON_IP
exec temporal-server start
