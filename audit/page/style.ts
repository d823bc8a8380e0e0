/** The style of a report, on a screen and on A4. One color scheme, because most reports are printed. */
const STYLE = `
:root { color-scheme: light; --ink: #1a1f26; --soft: #566070; --line: #c3cad4; --pale: #f2f4f7; --deep: #1f4f82; --light: #a9c4e2; --good: #14603a; --bad: #a3161a; }
* { box-sizing: border-box; }
body { color: var(--ink); background: #fff; font: 16px/1.5 system-ui, "Segoe UI", "Liberation Sans", Arial, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .3rem; } h2 { font-size: 1.3rem; line-height: 1.25; margin: 0 0 .6rem; } h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
p { margin: .4rem 0; } ul, ol { margin: .4rem 0; padding-left: 1.3rem; }
a { color: var(--deep); }
header p, .soft { color: var(--soft); }
section { margin-top: 2.2rem; }
section.part { border-top: 2px solid var(--line); padding-top: 1.4rem; }
code, pre { font: .9em/1.45 ui-monospace, "Liberation Mono", Menlo, Consolas, monospace; }
pre { background: var(--pale); border: 1px solid var(--line); overflow-x: auto; padding: .7rem; overflow-wrap: normal; }
.verdict { border: 3px solid; border-left-width: 12px; margin-top: 1.2rem; padding: .8rem 1rem; }
.verdict h2 { font-size: 1.45rem; margin: 0 0 .2rem; }
.good { border-color: var(--good); } .good h2 { color: var(--good); }
.bad { border-color: var(--bad); } .bad h2 { color: var(--bad); }
.verdict ul { columns: 2; column-gap: 1.5rem; } .verdict li { break-inside: avoid; margin: .1rem 0; }
.glance { margin: 0; }
.glance > div { border-top: 1px solid var(--line); padding: .55rem 0; }
.glance dt { font-weight: 700; } .glance dd { margin: 0; } .glance dd p { margin: 0 0 .15rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } table.wide { min-width: 42rem; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .9rem .35rem 0; text-align: left; vertical-align: top; overflow-wrap: break-word; }
/* Names and hashes may be broken, and not into single letters. */
.id { overflow-wrap: anywhere; min-width: 8.5rem; } .long { overflow-wrap: anywhere; min-width: 14rem; }
th .soft, td .soft { font-weight: 400; font-size: .93em; }
thead th { border-bottom: 2px solid var(--soft); font-size: .9em; }
tbody th { font-weight: 600; } tfoot td, tfoot th { border-bottom: 0; border-top: 2px solid var(--soft); font-weight: 700; }
.number { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal; white-space: nowrap; }
.short { overflow-wrap: normal; white-space: nowrap; }
.words { overflow-wrap: anywhere; min-width: 10.5rem; }
.tick { display: block; } .tick input { margin: 0 .2rem 0 0; vertical-align: middle; }
.initials { border-bottom: 1px solid var(--soft); color: var(--soft); display: block; margin-top: .4rem; }
.outcome { font-weight: 700; white-space: nowrap; } .outcome.ok { color: var(--good); } .outcome.no { color: var(--bad); }
.kind { background: var(--pale); border-left: 4px solid var(--bad); margin: 1rem 0 .6rem; padding: .5rem .8rem; }
.kind h4 { font-size: 1rem; margin: 0; } .kind p { margin: .15rem 0; }
figure { margin: 0 0 1rem; } figcaption { color: var(--soft); margin-bottom: .3rem; }
svg { display: block; max-width: 100%; } .chart { min-width: 36rem; width: 100%; height: auto; } .share { height: 1em; max-width: 15rem; min-width: 3rem; width: 100%; }
svg text { font: 12px system-ui, "Liberation Sans", Arial, sans-serif; fill: var(--ink); }
.bar { fill: var(--light); } .bar.strong { fill: var(--deep); } .grid { stroke: var(--line); } .axis { stroke: var(--soft); }
.swatch { border: 1px solid var(--soft); display: inline-block; height: .8em; width: .8em; } .swatch.strong { background: var(--deep); } .swatch.weak { background: var(--light); }
nav { margin-top: 2.2rem; } nav ol { columns: 2; column-gap: 2rem; } nav li { break-inside: avoid; }
a:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--deep); outline-offset: 2px; }
@media (min-width: 44rem) { .glance > div { display: grid; grid-template-columns: 10rem 1fr; gap: 1rem; } }
@media (max-width: 30rem) { body { padding-top: 1rem; } h1 { font-size: 1.45rem; } .verdict h2 { font-size: 1.2rem; } nav ol, .verdict ul { columns: 1; } th, td { padding-right: .6rem; } .id { min-width: 6rem; } .long { min-width: 9rem; } }
@page { size: A4; margin: 15mm 14mm 18mm; }
@media print {
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 9.5pt; line-height: 1.4; max-width: none; padding: 0; }
  h1 { font-size: 18pt; } h2 { font-size: 13pt; } h3 { font-size: 11pt; } .verdict h2 { font-size: 15pt; }
  section { margin-top: 7mm; } .first section { margin-top: 5mm; }
  .first { break-after: page; } .part.page { break-before: page; border-top: 0; padding-top: 0; margin-top: 0; }
  h2, h3, .kind, .before, figcaption { break-after: avoid; } tr, figure, .verdict, .kind, .glance > div { break-inside: avoid; }
  thead { display: table-header-group; } tfoot { display: table-row-group; }
  .scroll { overflow: visible; } table, table.wide, .chart { min-width: 0; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  th, td { padding: 1mm 3mm 1mm 0; } .dense th, .dense td { padding: .2mm 3mm .2mm 0; } .id { min-width: 27mm; } .long { min-width: 40mm; } .words { min-width: 34mm; }
  a { color: inherit; text-decoration: none; }
  nav { display: none; }
}
`;

/** The style of one report; its name is in the footer of every printed page. */
export const styleOf = (name: string): string => `${STYLE}@page {
  @bottom-left { content: "${plain(name)}"; font: 8pt system-ui, "Liberation Sans", Arial, sans-serif; color: #566070; }
  @bottom-right { content: counter(page) " / " counter(pages); font: 8pt system-ui, "Liberation Sans", Arial, sans-serif; color: #566070; }
}
`;

/** A text that can end neither a string of the style nor its element. */
const plain = (text: string): string => text.replace(/[^A-Za-z0-9 .,:_-]/g, ' ');
