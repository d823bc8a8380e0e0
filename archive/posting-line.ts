/**
 * SQL: the text that the hash of a posting covers, of a row `t` of ledger.transaction. Built-in functions only, for who
 * does not want to ask the database's own `ledger.line`. What is null at the end is left out, as in every older block.
 */
export const POSTING_LINE = `concat_ws('|', t.id, t.key, t.kind, coalesce(t.deposit, ''), t.provider, coalesce(t.provider_code, ''),
    t.debit_code, t.credit_code, trim_scale(t.amount), trim_scale(t.fee), coalesce(t.fiat, ''),
    coalesce(trim_scale(t.fiat_amount)::text, ''), coalesce(trim_scale(t.unit_price)::text, ''), coalesce(t.origin::text, ''),
    t.workflow_id, coalesce(t.actor, ''), coalesce(encode(sha256(convert_to(t.reason, 'UTF8')), 'hex'), ''),
    (extract(epoch from t.posted_at) * 1000000)::bigint, t.beside, 'rest:' || trim_scale(t.rest))`;
