-- review_case_by_age (035-lists-of-cases.sql) has taken their place.
drop index engine.review_case_all;
drop index engine.review_case_open;
