#!/bin/sh
# Makes sure the namespace is there and keeps closed histories long enough to be looked at and archived. The search
# attributes are registered by the migrations, which know their names.
# Environment: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, RETENTION (default 720h).
set -eu
retention=${RETENTION:-720h}

end=$(($(date +%s) + 120))
# Again until it succeeds or the time is up; then its own words are the reason.
until_done() {
  until said=$("$@" --command-timeout 10s 2>&1); do
    if [ "$(date +%s)" -ge "$end" ]; then
      echo "$said" >&2
      echo "Temporal at $TEMPORAL_ADDRESS: \`$*\` did not succeed within two minutes" >&2
      exit 1
    fi
    sleep 1
  done
}

until_done temporal operator cluster health

if temporal operator namespace describe -n "$TEMPORAL_NAMESPACE" >/dev/null 2>&1; then
  until_done temporal operator namespace update -n "$TEMPORAL_NAMESPACE" --retention "$retention"
else
  temporal operator namespace create -n "$TEMPORAL_NAMESPACE" --retention "$retention"
fi

# A new namespace is known to every part of the server only after its caches were refreshed.
until_done temporal workflow count -n "$TEMPORAL_NAMESPACE"
echo "namespace $TEMPORAL_NAMESPACE keeps closed workflows for $retention"
