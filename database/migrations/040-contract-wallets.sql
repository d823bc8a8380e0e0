-- deposit_by_wallet_state (038-wallets.sql) has taken its place.
drop index concurrently if exists engine.deposit_by_wallet;
