import type { Reservation } from '../../database/queries/deposits.ts';
import type { Db } from '../../database/pool.ts';

/** A reservation in a schema of any age; reads no column that later migrations add. */
export async function reserveInAny(db: Db, deposit: Reservation): Promise<void> {
  await db.query(
    `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, total_price, currency_code,
                                 support_language, payer_name, payer_name_key, fingerprint, settings)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
    [
      deposit.externalOrderNumber,
      deposit.wallet,
      deposit.buyCoinMode,
      deposit.mtcAmount,
      deposit.totalPrice,
      deposit.currencyCode,
      deposit.supportLanguage,
      deposit.payerName,
      deposit.payerNameKey,
      deposit.fingerprint,
      deposit.settings,
    ],
  );
}
