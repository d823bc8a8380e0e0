-- Its place is taken by `event` (041-events.sql). Nothing was ever delivered from it.
drop table engine.outgoing;
drop function engine.keep_outgoing();
drop function engine.outgoing_may_go(text, timestamptz);
