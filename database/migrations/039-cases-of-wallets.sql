-- A page of the cases of a wallet (038-wallets.sql), as review_case_by_age and review_case_by_reason are of all.
create index concurrently if not exists review_case_by_wallet on engine.review_case (wallet, num_nulls(closed_at), opened_at, workflow_id);
create index concurrently if not exists review_case_by_wallet_reason on engine.review_case (wallet, num_nonnulls(closed_at), reason, opened_at, workflow_id);
-- Few: cases about orders that are not known.
create index concurrently if not exists review_case_without_wallet on engine.review_case (opened_at, workflow_id) where num_nulls(wallet) = 1;
