#!/bin/sh
# Makes sure the namespace is there and keeps closed histories long enough to be looked at and archived. The search
# attributes are registered by the migrations, which know their names.
# Environment: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, RETENTION (default 720h).
set -eu
retention=${RETENTION:-720h}

attempt=0
until temporal operator cluster health >/dev/null 2>&1; do
  attempt=$((attempt + 1))
  if [ "$attempt" -ge 60 ]; then
    echo "Temporal at $TEMPORAL_ADDRESS does not serve" >&2
    exit 1
  fi
  sleep 1
done

if temporal operator namespace describe -n "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
  temporal operator namespace update -n "$TEMPORAL_NAMESPACE" --retention "$retention"
else
  temporal operator namespace create -n "$TEMPORAL_NAMESPACE" --retention "$retention"
fi

# A new namespace is known to every part of the server only after its caches were refreshed.
attempt=0
until temporal workflow count -n "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; do
  attempt=$((attempt + 1))
  if [ "$attempt" -ge 60 ]; then
    echo "namespace $TEMPORAL_NAMESPACE is not usable yet" >&2
    exit 1
  fi
  sleep 1
done
echo "namespace $TEMPORAL_NAMESPACE keeps closed workflows for $retention"
