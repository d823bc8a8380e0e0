-- The API opens a case anew whose row was lost, but only where a restore is noted: a workflow that somebody started by hand
-- has no row either.
grant select on engine.restored to app_api;
