/** The style sheet of checkout and console; served as a file, because the pages allow no inline style. */
export const STYLE_SHEET = `
:root {
  color-scheme: light;
  --ink: #14202e; --soft: #55637a; --line: #d5dce6; --ground: #f3f5f9; --paper: #fff;
  --main: #0a4fc4; --main-dark: #083c96; --good: #0b6b3a; --bad: #a81e1e; --warn: #7a4a00;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  -webkit-text-size-adjust: 100%; text-size-adjust: 100%;
}
:lang(zh-CN) { font-family: system-ui, -apple-system, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", sans-serif; }
:lang(zh-TW) { font-family: system-ui, -apple-system, "PingFang TC", "Microsoft JhengHei", "Noto Sans CJK TC", "Noto Sans TC", sans-serif; }
*, ::before, ::after { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); overflow-wrap: anywhere; }
a { color: var(--main); }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0; }
h2 { font-size: 1.125rem; line-height: 1.3; margin: 0 0 .75rem; }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
p { margin: 0 0 .75rem; }
:focus-visible { outline: 3px solid #d97706; outline-offset: 2px; border-radius: .25rem; }
button, input, select, textarea { font: inherit; color: inherit; }
button { min-height: 2.5rem; padding: .375rem 1rem; border: 1px solid #8593a8; border-radius: .5rem; background: var(--paper); cursor: pointer; }
button:hover { background: var(--ground); }
button.main { background: var(--main); border-color: var(--main); color: #fff; font-weight: 600; }
button.main:hover { background: var(--main-dark); }
button.danger { color: var(--bad); border-color: var(--bad); }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: .75rem; padding: 1.25rem; margin: 0 0 1rem; }
.bar { background: var(--paper); border-bottom: 1px solid var(--line); }
.bar > div { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; align-items: center; justify-content: space-between; margin: 0 auto; padding: .625rem 1rem; }
.brand { font-weight: 700; letter-spacing: .01em; }
.sandbox { background: #fff4d6; border-bottom: 1px solid #e6cf8f; color: #5a3c00; font-size: .875rem; text-align: center; margin: 0; padding: .375rem 1rem; }
dl { display: grid; grid-template-columns: fit-content(45%) minmax(0, 1fr); gap: .5rem 1rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; font-variant-numeric: tabular-nums; }
.select { user-select: all; -webkit-user-select: all; }
.mono { font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .875em; }
.quiet { color: var(--soft); font-size: .875rem; }

/* Checkout */
.checkout .bar > div, .checkout main { max-width: 62rem; }
.checkout main { margin: 0 auto; padding: 1.25rem 1rem 2.5rem; }
.languages { display: flex; flex-wrap: wrap; gap: .25rem; list-style: none; margin: 0; padding: 0; font-size: .9375rem; }
.languages a { display: block; padding: .375rem .5rem; border-radius: .375rem; }
.languages a[aria-current] { color: var(--ink); font-weight: 600; text-decoration: none; background: var(--ground); }
.state { margin: 0 0 1rem; max-width: 44rem; }
.state h1 { margin-bottom: .375rem; }
.state p { display: inline; color: var(--soft); }
.state::before { content: ""; display: block; width: 2.5rem; height: .25rem; border-radius: 1rem; background: var(--main); margin-bottom: .75rem; }
.state.RELEASED::before { background: var(--good); } .state.RELEASED h1 { color: var(--good); }
.state.CANCELLED::before, .state.EXPIRED::before { background: var(--bad); } .state.CANCELLED h1, .state.EXPIRED h1 { color: var(--bad); }
.steps { display: flex; gap: .5rem; list-style: none; counter-reset: step; margin: 0 0 1.25rem; padding: 0; }
.steps li { counter-increment: step; flex: 1; padding-top: .5rem; border-top: .25rem solid var(--line); font-size: .875rem; color: var(--soft); }
.steps li::before { content: counter(step) ". "; }
.steps li.done { border-color: var(--main); }
.steps li[aria-current] { border-color: var(--main); color: var(--ink); font-weight: 600; }
.amount { font-size: clamp(1.75rem, 7vw, 2.5rem); line-height: 1.2; font-weight: 700; font-variant-numeric: tabular-nums; margin: 0; }
.account { font-weight: 600; font-variant-numeric: tabular-nums; }
.checkout main:not(.two) .card { max-width: 44rem; }
.checkout .card dd { text-align: end; }
.checkout button { width: 100%; min-height: 3rem; }
.checkout button.copy { width: auto; min-height: 2rem; padding: .125rem .625rem; font-size: .875rem; font-weight: 400; line-height: 1.4; vertical-align: middle; }
.unseen { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.back { grid-column: 1 / -1; }
.payee { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem; margin: 0 0 .75rem; }
.howto { padding-inline-start: 1.25rem; margin: 1rem 0; }
.howto li { margin: .25rem 0; }
.cancel { margin-top: 1rem; }
.cancel summary { cursor: pointer; padding: .5rem 0; color: var(--soft); text-align: center; text-decoration: underline; list-style: none; }
.cancel summary::-webkit-details-marker { display: none; }
.cancel[open] summary { color: var(--ink); }
.clock { display: flex; flex-wrap: wrap; justify-content: space-between; gap: .25rem 1rem; background: var(--ground); border-radius: .5rem; padding: .625rem .75rem; margin: 0 0 1rem; }
.clock strong { font-variant-numeric: tabular-nums; }
@media (min-width: 52rem) {
  .checkout main.two { display: grid; grid-template-columns: 1.25fr 1fr; gap: 0 1.25rem; align-items: start; }
  .checkout main.two > :is(.state, .steps) { grid-column: 1 / -1; }
}

/* Console */
.console .bar > div, .console main { max-width: 84rem; }
.console main { margin: 0 auto; padding: 1.25rem 1rem 3rem; }
.console .bar form { margin: 0; }
.menu { background: var(--paper); border-bottom: 1px solid var(--line); }
.menu ul { display: flex; flex-wrap: wrap; gap: 0 .25rem; list-style: none; margin: 0 auto; padding: 0 .75rem; max-width: 84rem; }
.menu a { display: block; padding: .5rem .625rem; text-decoration: none; border-bottom: 3px solid transparent; }
.menu a[aria-current] { color: var(--ink); font-weight: 600; border-color: var(--main); }
.console h1 { margin-bottom: 1rem; }
.console h1 + .lead { margin-top: -.5rem; color: var(--soft); max-width: 60rem; }
.message { border: 1px solid var(--good); border-inline-start-width: .375rem; border-radius: .5rem; background: #eef8f2; padding: .625rem .875rem; margin: 0 0 1rem; }
.message.bad { border-color: var(--bad); background: #fdf0f0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
caption { text-align: start; font-weight: 600; padding: 0 0 .5rem; }
th, td { text-align: start; padding: .5rem .625rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td { max-width: 26rem; }
td details[open] { min-width: 15rem; }
.card form + .scroll { margin-top: 1rem; }
td.number { text-align: end; font-variant-numeric: tabular-nums; white-space: nowrap; }
td form, .row form { margin: 0; }
td time { white-space: nowrap; }
.badge { display: inline-block; border: 1px solid currentColor; border-radius: 1rem; padding: 0 .5rem; font-size: .8125rem; font-weight: 600; color: var(--soft); white-space: nowrap; }
.badge.good { color: var(--good); } .badge.bad { color: var(--bad); } .badge.warn { color: var(--warn); }
.row { display: flex; flex-wrap: wrap; gap: .625rem; align-items: end; }
.field { display: block; margin: 0 0 .875rem; }
.row .field { margin: 0; }
.field > span { display: block; font-weight: 600; font-size: .9375rem; }
.field > small { display: block; color: var(--soft); }
.field input:not([type="checkbox"]), .field select, .field textarea { width: 100%; min-height: 2.5rem; padding: .375rem .625rem; border: 1px solid #8593a8; border-radius: .5rem; background: var(--paper); }
.row .field { max-width: 100%; }
.row.middle { align-items: center; margin-bottom: .75rem; }
.row.middle h2 { margin: 0; }
.check { display: flex; gap: .5rem; align-items: baseline; margin: 0 0 .875rem; }
.grid { display: grid; gap: 0 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)); }
.tiles { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 13rem), 1fr)); margin: 0 0 1rem; padding: 0; list-style: none; }
.tiles .card { margin: 0; }
.tiles strong { display: block; font-size: 1.5rem; line-height: 1.3; }
.timeline { list-style: none; margin: 0; padding: 0 0 0 1rem; border-inline-start: 2px solid var(--line); }
.timeline > li { position: relative; padding: 0 0 .875rem .5rem; }
.timeline > li::before { content: ""; position: absolute; inset-inline-start: -1.4375rem; top: .5rem; width: .75rem; height: .75rem; border-radius: 50%; background: var(--paper); border: 2px solid var(--soft); }
.timeline > li.good::before { background: var(--good); border-color: var(--good); }
.timeline > li.bad::before { background: var(--bad); border-color: var(--bad); }
.timeline p { margin: 0; }
@media (max-width: 52rem) { .console .scroll table { min-width: 44rem; } }
details > summary { cursor: pointer; }
details[open] > summary { margin-bottom: .75rem; }
.fault > summary { font-weight: 600; }
.fault > summary span { font-weight: 400; color: var(--soft); }
.fault > summary code { font-weight: 400; font-size: .8125rem; color: var(--soft); }
.scenario { display: grid; grid-template-columns: minmax(12rem, 18rem) 1fr; gap: .25rem 1rem; align-items: center; border-top: 1px solid var(--line); padding: .5rem 0; }
@media (max-width: 40rem) { .scenario { grid-template-columns: 1fr; } }
.fault { border-top: 1px solid var(--line); padding: .625rem 0; }
pre { white-space: pre-wrap; margin: .5rem 0 0; padding: .625rem; background: var(--ground); border-radius: .5rem; font-size: .8125rem; }
.narrow { max-width: 26rem; margin-inline: auto; }
.narrow button { width: 100%; }
`;
