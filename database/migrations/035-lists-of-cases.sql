-- A page of cases costs the same however many others there are (docs/internals/growth.md#what-is-looked-up). Neither is an index of what
-- is "closed_at is null": such ones are nearly empty when their table is analyzed at a quiet moment, and PostgreSQL then reads the
-- narrowest as a whole. num_nulls(closed_at) is 1 for an open case, and num_nonnulls(closed_at) is 1 for a closed one.
create index concurrently if not exists review_case_by_age on engine.review_case (num_nulls(closed_at), opened_at, workflow_id);
create index concurrently if not exists review_case_by_reason on engine.review_case (num_nonnulls(closed_at), reason, opened_at, workflow_id);
-- Few: what waits for a second operator, or for the worker.
create index concurrently if not exists review_case_proposed on engine.review_case (proposal) where closed_at is null and proposal is not null;
