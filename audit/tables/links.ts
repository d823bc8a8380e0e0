import type pg from 'pg';
import { checkoutLink, type LinkRules } from '../../providers/checkout-link.ts';
import type { Finding } from '../report/report.ts';
import { depositWorkflowId } from '../../domain/ids.ts';

/** Maximum number of named deposits of one origin. */
const NAMED = 20;

/**
 * The distinct origins of all links, without path: a few among a million links. A browser reads a backslash as a slash
 * and ignores a tab. So a link without a host by this pattern is compared as a whole. A link that is cut here is too
 * long to be served.
 */
const PLACES = `
  select coalesce(substring(redirect_url from '^[^/?#]*//[^/?#]*'), left(redirect_url, 2001)) as place,
         (array_agg(external_order_number order by external_order_number))[1:${NAMED}] as first, count(*)::int as many
    from engine.deposit where redirect_url is not null group by 1 order by 2`;

/** Checks that all checkout links lead to hosts that the audit's settings allow. */
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
