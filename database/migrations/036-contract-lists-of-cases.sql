-- review_case_by_age (035-lists-of-cases.sql) has taken their place.
drop index concurrently if exists engine.review_case_all;
drop index concurrently if exists engine.review_case_open;
