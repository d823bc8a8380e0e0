/**
 * SQL: the text that the hash of a posting covers, for a row `t` of ledger.transaction. It uses built-in functions
 * only, for readers who do not trust the database's own `ledger.line`. Nulls at the end are omitted, as in every older
 * block.
 */
export const POSTING_LINE = `concat_ws('|', t.id, t.key, t.kind, coalesce(t.deposit, ''), t.provider, coalesce(t.provider_code, ''),
    t.debit_code, t.credit_code, trim_scale(t.amount), trim_scale(t.fee), coalesce(t.fiat, ''),
    coalesce(trim_scale(t.fiat_amount)::text, ''), coalesce(trim_scale(t.unit_price)::text, ''), coalesce(t.origin::text, ''),
    t.workflow_id, coalesce(t.actor, ''), coalesce(encode(sha256(convert_to(t.reason, 'UTF8')), 'hex'), ''),
    (extract(epoch from t.posted_at) * 1000000)::bigint, t.beside, 'rest:' || trim_scale(t.rest))`;
