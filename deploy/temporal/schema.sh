#!/bin/sh
# Creates or updates the tables of the Temporal server; runs in temporalio/admin-tools of the server's version.
# Environment: POSTGRES_SEEDS (host), DB_PORT, POSTGRES_USER, and SQL_PASSWORD, which the tool reads itself.
set -eu

update() {
  database=$1 schema=$2
  tool="temporal-sql-tool --plugin postgres12_pgx --ep $POSTGRES_SEEDS -p $DB_PORT -u $POSTGRES_USER --db $database"
  # Does not change an existing schema.
  $tool setup-schema -v 0.0
  $tool update-schema --schema-name "postgresql/v12/$schema"
}

update temporal temporal
update temporal_visibility visibility
