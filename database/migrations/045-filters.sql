-- Deposits by the beginning of their numbers, byte by byte; those of a wallet as well (docs/internals/growth.md#what-is-looked-up).
create index concurrently if not exists deposit_by_prefix on engine.deposit (external_order_number text_pattern_ops);
create index concurrently if not exists deposit_by_wallet_prefix on engine.deposit (wallet, external_order_number text_pattern_ops);
