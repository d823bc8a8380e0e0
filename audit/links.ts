import type pg from 'pg';
import { checkoutLink, type LinkRules } from '../mtpay/place.ts';
import type { Finding } from './report.ts';

/** Without what comes after the host: of a million links some few are left. A backslash is a slash to a browser. */
const PLACES = `
  select coalesce(substring(redirect_url from '^[^/?#]*//[^/?#]*'), left(redirect_url, 200)) as place, min(external_order_number) as first, count(*)::int as many
    from engine.deposit where redirect_url is not null group by 1 order by 2`;

/** Whether customers are sent only where the settings of the audit allow it. */
export async function checkHosts(db: pg.ClientBase, rules: LinkRules): Promise<Finding[]> {
  const { rows } = await db.query<{ place: string; first: string; many: number }>(PLACES);
  return rows.flatMap(({ place, first, many }): Finding[] => {
    if (checkoutLink(place, rules) !== null) return [];
    const others = many > 1 ? `, and so do ${many - 1} others` : '';
    const detail = `its checkout link leads to ${place}, which no setting allows${others}`;
    return [{ kind: 'link_differs', where: `deposit:${first}`, detail }];
  });
}
