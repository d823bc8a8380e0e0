import type pg from 'pg';
import { checkoutLink, type LinkRules } from '../../providers/checkout-link.ts';
import type { Finding } from '../report/report.ts';
import { depositWorkflowId } from '../../domain/ids.ts';

/** So many deposits of one place are named. */
const NAMED = 20;

/**
 * Without what comes after the host: of a million links some few are left. A backslash is a slash to a browser, and a tab
 * is nothing: what has no host by this pattern is looked at whole, and is too long to be served where it is cut.
 */
const PLACES = `
  select coalesce(substring(redirect_url from '^[^/?#]*//[^/?#]*'), left(redirect_url, 2001)) as place,
         (array_agg(external_order_number order by external_order_number))[1:${NAMED}] as first, count(*)::int as many
    from engine.deposit where redirect_url is not null group by 1 order by 2`;

/** Whether customers are sent only where the settings of the audit allow it. */
export async function checkHosts(db: pg.ClientBase, rules: LinkRules): Promise<Finding[]> {
  const { rows } = await db.query<{ place: string; first: readonly string[]; many: number }>(PLACES);
  return rows.flatMap(({ place, first, many }): Finding[] => {
    if (checkoutLink(place, rules) !== null) return [];
    const [of, ...others] = first.map(depositWorkflowId);
    const more = many > first.length ? ` and ${many - first.length} more` : '';
    const also = others.length > 0 ? `, and so does that of ${others.join(', ')}${more}` : '';
    return [
      {
        kind: 'link_differs',
        where: of!,
        detail: `its checkout link leads to ${place}, which no setting allows${also}`,
      },
    ];
  });
}
