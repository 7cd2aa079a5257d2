/** The style sheet of reports: light and dark, phone and desktop, nothing loaded from elsewhere. */

/** CSS of every report. */
export const REPORT_STYLE: string = `
:root { color-scheme: light dark; --edge:1px solid var(--line); --mono:ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; --bg:#fbfbfa; --card:#ffffff; --text:#1c2024; --soft:#5d666f; --line:#dfe2e5;
  --grid:#e9ebed; --note:#fff4e0; --note-line:#e2a336; --good:#0f7b5f; --bad:#b3261e;
  --c1:#0b62c4; --c2:#c8500a; --c3:#0f7b5f; --c4:#8b3fb8; --c5:#8a6d00; --c6:#5b6472; --c7:#b0206a; }
@media (prefers-color-scheme: dark) {
  :root { --bg:#14171a; --card:#1c2024; --text:#e9ecef; --soft:#a3adb7; --line:#343b42; --grid:#2a3036;
    --note:#33291a; --note-line:#b98a3a; --good:#4fd1a8; --bad:#ff8a80;
    --c1:#6cb0ff; --c2:#ff9d66; --c3:#4fd1a8; --c4:#d39bf5; --c5:#e3c04b; --c6:#a7b0bb; --c7:#ff8fbf; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin:0; background:var(--bg); color:var(--text); font:16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width:1240px; margin:0 auto; padding:28px 20px 64px; }
h1 { font-size:1.6rem; line-height:1.25; margin:0 0 4px; overflow-wrap:anywhere; }
h2 { font-size:1.15rem; margin:40px 0 12px; overflow-wrap:anywhere; }
p { margin:0 0 12px; max-width:76ch; overflow-wrap:anywhere; }
.soft { color:var(--soft); }
.tiles { display:grid; grid-template-columns:repeat(auto-fit, minmax(132px, 1fr)); gap:12px; margin:20px 0 0; }
.tile { background:var(--card); border:var(--edge); border-radius:10px; padding:12px 14px; }
.tile b { display:block; font-size:1.3rem; font-weight:600; font-variant-numeric:tabular-nums; overflow-wrap:anywhere; }
.tile span { color:var(--soft); font-size:.85rem; }
.note { background:var(--note); border-left:4px solid var(--note-line); border-radius:6px; padding:10px 14px; margin:0 0 14px; max-width:none; }
.charts { display:grid; grid-template-columns:repeat(auto-fill, minmax(min(100%, 350px), 1fr)); gap:14px; }
figure { margin:0; background:var(--card); border:var(--edge); border-radius:10px; padding:12px 12px 8px; min-width:0; overflow-wrap:anywhere;
  display:flex; flex-direction:column; }
.charts > figure { display:grid; grid-row:span 4; grid-template-rows:subgrid; row-gap:0; align-items:start; }
@media (min-width:800px) { figure.large { grid-column:span 2; } }
figcaption { font-weight:600; font-size:.95rem; }
figcaption small { font-weight:400; color:var(--soft); font-size:.82rem; }
figure p { font-size:.82rem; color:var(--soft); margin:4px 0 0; } figure p:empty { margin:0; }
.legend { display:flex; flex-wrap:wrap; gap:2px 14px; margin:6px 0 2px; padding:0; list-style:none; font-size:.82rem; color:var(--soft); }
.legend svg { width:22px; height:10px; vertical-align:middle; margin-right:5px; }
svg.chart { display:block; margin-top:6px; width:100%; height:auto; overflow:visible; }
svg text { fill:var(--soft); font-size:11px; font-weight:400; font-variant-numeric:tabular-nums; }
svg .grid { stroke:var(--grid); stroke-width:1; }
svg .zero { stroke:var(--soft); stroke-width:1; stroke-dasharray:2 3; }
svg .mark { stroke:var(--note-line); stroke-width:1.5; stroke-dasharray:3 3; }
svg .point { fill:var(--c1); fill-opacity:.6; } svg .point.beyond { fill:none; stroke:var(--c1); stroke-width:1.6; }
svg .point:hover { fill:var(--c2); fill-opacity:1; }
svg .held { fill:var(--note); } svg .over { stroke:var(--card); stroke-width:3; stroke-linejoin:round; paint-order:stroke; }
svg .line { fill:none; stroke-width:2; stroke-linejoin:round; stroke-linecap:round; }
svg .eval { stroke-dasharray:5 4; stroke-width:1.6; }
svg .whisker { stroke-width:1.2; stroke-opacity:.55; }
svg .band { fill:currentColor; fill-opacity:.13; stroke:none; }
svg .hit { fill:transparent; }
svg g:hover > .hit { fill:currentColor; fill-opacity:.25; }
svg .gone { fill:var(--bad); font-weight:700; }
.c1 { color:var(--c1); } .c2 { color:var(--c2); } .c3 { color:var(--c3); }
.c4 { color:var(--c4); } .c5 { color:var(--c5); } .c6 { color:var(--c6); } .c7 { color:var(--c7); }
.line, .dot { stroke:currentColor; } .dot { fill:var(--card); stroke-width:1.6; } .dot.full { fill:currentColor; }
.scroll { overflow-x:auto; border:var(--edge); border-radius:10px; background:var(--card); }
table { border-collapse:collapse; width:100%; font-size:.9rem; font-variant-numeric:tabular-nums; }
th, td { text-align:left; padding:7px 12px; border-top:var(--edge); vertical-align:top; overflow-wrap:anywhere; }
tr:first-child > th, tr:first-child > td { border-top:0; }
thead th, thead .number { white-space:normal; }
thead th { color:var(--soft); font-weight:600; font-size:.82rem; vertical-align:bottom; border-bottom:var(--edge); overflow-wrap:break-word; }
tbody th { font-weight:600; overflow-wrap:break-word; min-width:110px; }
/* names of runs and models have any length: the other columns stay in view */
th { max-width:240px; }
@media (min-width:800px) { .wide tbody th { min-width:150px; } }
.number { text-align:right; white-space:nowrap; }
.interval { overflow-wrap:normal; }
.long { min-width:240px; }
.wide { min-width:560px; } .wide td { overflow-wrap:break-word; }
.facts th { width:34%; max-width:none; }
.bad { border-left-color:var(--bad); }
.scroll + p, .charts + p { margin-top:8px; }
.charts + .scroll, .scroll + .scroll, .tiles + .note { margin-top:14px; }
.pairs { display:grid; grid-template-columns:repeat(auto-fit, minmax(min(100%, 350px), 1fr)); gap:14px; align-items:start; } .pairs + .scroll { margin-top:14px; }
.pairs .scroll + .scroll { margin-top:0; }
.answers { table-layout:fixed; } .answers th, .answers td { min-width:150px; } .answers tbody th { font-weight:500; background:var(--bg); }
.answers td { border-top:0; } .answers td + td { border-left:var(--edge); } .answers td details { margin:0; }
.answers td summary { font-weight:400; font-size:.82rem; color:var(--soft); padding:4px 0 0; }
.note ul { margin:4px 0 0; padding-left:20px; }
.findings { list-style:none; margin:20px 0 0; padding:0; }
.findings li { background:var(--card); border:var(--edge); border-left:4px solid var(--soft); border-radius:6px; padding:9px 14px; margin:0 0 8px; overflow-wrap:anywhere; }
.findings li.warning { border-left-color:var(--note-line); } .findings li.error { border-left-color:var(--bad); }
.findings p { margin:2px 0 0; max-width:none; color:var(--soft); font-size:.92rem; }
.badge { display:inline-block; border:1px solid var(--note-line); border-radius:99px; padding:0 9px; margin-left:8px; font-size:.78rem; font-weight:500; vertical-align:middle; }
ins, del, mark { text-decoration:none; border-radius:3px; padding:0 1px; color:inherit; }
mark { background:color-mix(in srgb, var(--note-line) 35%, transparent); }
ins { background:color-mix(in srgb, var(--c3) 24%, transparent); } del { background:color-mix(in srgb, var(--c2) 24%, transparent); }
a { color:var(--c1); }
.answer { white-space:pre-wrap; overflow-wrap:anywhere; unicode-bidi:isolate; margin:0; max-height:22em; overflow-y:auto;
  font:.84em/1.45 var(--mono); }
.scales { display:flex; flex-wrap:wrap; border:0; margin:14px 0; padding:0; min-width:0; } .scales legend { padding:0 0 6px; font-weight:600; }
.scales > input { position:absolute; opacity:0; width:1px; height:1px; margin:0; }
.scales > label { flex:1 1 44px; min-height:40px; padding:8px 4px; text-align:center; border:var(--edge); background:var(--card); cursor:pointer; font-variant-numeric:tabular-nums; }
.scales > input:checked + label { background:var(--c1); border-color:var(--c1); color:var(--bg); font-weight:600; }
.scales > input:focus-visible + label { outline:2px solid var(--c2); outline-offset:2px; }
.scales > .at-scale { display:none; order:1; flex:1 0 100%; min-width:0; } .scales > input:checked + label + .at-scale { display:block; }
.at-scale .answer { margin:12px 0 0; }
.tag { display:inline-block; margin-top:4px; color:var(--soft); font-size:.78rem; }
code { font:.88em var(--mono); }
td code { overflow-wrap:anywhere; }
details { margin:0 0 12px; } summary { cursor:pointer; padding:6px 0; font-weight:600; }
footer { margin-top:48px; color:var(--soft); font-size:.85rem; }
@media (max-width:560px) { main { padding:18px 12px 48px; } .tiles { grid-template-columns:1fr 1fr; gap:8px; }
  svg text { font-size:13px; } h1 { font-size:1.3rem; } th, td { padding:6px 8px; } td:not(.number) { min-width:84px; } }
@media print { figure, .tile { break-inside:avoid; } }
`;
