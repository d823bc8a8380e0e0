-- callback_open (032-open-rows.sql) has taken its place.
drop index concurrently if exists engine.callback_to_raise;
-- deposit_by_state finds what waits to be placed in the same order. Beside it this one only misled: nearly empty when its table was
-- analyzed, it was read from end to end for single orders, also when many waited.
drop index concurrently if exists engine.deposit_unstarted;
