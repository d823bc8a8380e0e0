#!/bin/sh
# Creates the namespace if it is missing, and sets its retention so that closed histories can be read and archived. The
# migrations register the search attributes, because they know their names.
# Environment: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, RETENTION (default 720h).
set -eu
retention=${RETENTION:-720h}

end=$(($(date +%s) + 120))
# Retries until the command succeeds or the time is over; then prints the command's own error.
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

# All parts of the server know a new namespace only after their caches are refreshed.
until_done temporal workflow count -n "$TEMPORAL_NAMESPACE"
echo "namespace $TEMPORAL_NAMESPACE keeps closed workflows for $retention"
