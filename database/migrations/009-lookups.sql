-- What an audit looks up for every history, so that the time for each stays the same however many there are.
create index callback_stamp_by_order on engine.callback_stamp (external_order_number);
create index transaction_by_workflow on ledger.transaction (workflow_id);
