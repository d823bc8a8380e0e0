#!/bin/sh
# Prints a .env for docker-compose.yml with the sandbox as the provider; generates every secret.
#   sh deploy/sandbox-env.sh > .env && docker compose --profile sandbox --profile notifications up -d
# Only for trials: plain HTTP, no real provider.
set -eu
# Makes the output file readable by its owner only.
{ [ ! -f /dev/stdout ] || chmod 600 /dev/stdout; } 2>/dev/null || true
secret() {
  head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'
}

# The API's key of the seals, and its public half: the last 32 bytes of openssl's output.
last32() {
  tail -c 32 | base64 | tr '+/' '-_' | tr -d '=\n'
}
seal=$(openssl genpkey -algorithm ed25519 -outform DER | base64)
seal_key=$(echo "$seal" | base64 -d | last32)
seal_public_key=$(echo "$seal" | base64 -d | openssl pkey -inform DER -pubout -outform DER | last32)

cat <<END
POSTGRES_PASSWORD=$(secret)
MIGRATOR_DATABASE_PASSWORD=$(secret)
API_DATABASE_PASSWORD=$(secret)
WORKER_DATABASE_PASSWORD=$(secret)
DECISIONS_DATABASE_PASSWORD=$(secret)
AUDITOR_DATABASE_PASSWORD=$(secret)
ARCHIVER_DATABASE_PASSWORD=$(secret)
NOTIFIER_DATABASE_PASSWORD=$(secret)
TEMPORAL_DATABASE_PASSWORD=$(secret)
SANDBOX_DATABASE_PASSWORD=$(secret)

CALLBACK_KEY=$(secret)
PAYER_NAME_KEY=$(secret)
FINGERPRINT_KEY=$(secret)
ENDPOINT_SECRET_KEY=$(secret)
INBOX_SEAL_KEY=$seal_key
INBOX_SEAL_PUBLIC_KEYS=$seal_public_key
CALLBACK_BASE_URL=http://callbacks:8081

AUDIT_SIGNING_KEY=$(secret)

MTPAY_BASE_URL=http://sandbox:8290
MTPAY_ACCESS_KEY=$(secret)
MTPAY_SECRET_KEY=$(secret)
MTPAY_PLAIN_HTTP_HOSTS=sandbox,localhost,callbacks
MTPAY_REDIRECT_HOSTS=localhost:8290

SANDBOX_CONTROL_TOKEN=$(secret)
SANDBOX_CONSOLE_PASSWORD=$(secret)
SANDBOX_CALLBACK_HOSTS=callbacks
SANDBOX_PUBLIC_URL=http://localhost:8290
SANDBOX_SPEED=60
END
