-- What was granted on tables before there were functions for it is taken away: processes of before no longer work.

-- API (019-api.sql) -------------------------------------------------------------------------------------------------------
-- Of the tables that it wrote it keeps the insert of a deposit.
revoke insert, update on engine.callback, engine.callback_stamp, engine.callback_attempt, engine.own_stamp from app_api;
revoke update on engine.deposit from app_api;
revoke insert, update on engine.review_case from app_api;
