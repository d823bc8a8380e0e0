/** The one style sheet of checkout and console; served as a file because the pages allow no inline style. */
export const STYLE_SHEET = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, "PingFang SC", "PingFang TC", "Microsoft YaHei", sans-serif; }
body { margin: 0 auto; max-width: 34rem; padding: 1rem; }
body.console { max-width: 72rem; }
.notice { border: 1px solid; border-radius: .5rem; padding: .25rem .75rem; font-size: .875rem; }
h1 { font-size: 1.5rem; margin: 1rem 0; }
dl { display: grid; grid-template-columns: minmax(7rem, auto) 1fr; gap: .5rem 1rem; margin: 1rem 0; }
dt { opacity: .75; }
dd { margin: 0; text-align: right; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
dd.big { font-size: 1.5rem; font-weight: 600; }
form { margin: .75rem 0; }
button { font: inherit; width: 100%; min-height: 3rem; border-radius: .5rem; border: 1px solid; cursor: pointer; background: transparent; color: inherit; }
button.main { background: #0b5fff; border-color: #0b5fff; color: #fff; font-weight: 600; }
button:focus-visible, a:focus-visible { outline: 3px solid #ff9d00; outline-offset: 2px; }
nav a { margin-right: 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td { text-align: left; padding: .375rem .5rem; border-bottom: 1px solid #8884; vertical-align: top; }
`;
