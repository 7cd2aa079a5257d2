/**
 * uPlot without what the page never uses of it: time axes (the page's axis of time counts seconds of a run), its own legend, facets,
 * arcsinh scales, a curve in focus, gaps in lines, labels and ticks of axes, drags over y, points that are reached from afar or are
 * boxes, titles, plugins, and paths other than lines. That is more than 40 % of it, in no part that a bundler could leave out by
 * itself: all are looked up at run time. A release of uPlot in which one of them is not found stops the build.
 */
import { readFile } from "node:fs/promises";
import type { Plugin } from "esbuild-wasm";

/** What is replaced, and by what. */
const changes: readonly (readonly [RegExp, string])[] = [
  // questions with one answer in the page
  [/\b(?:let|const) (?:isTime|showLegend|xScaleDistr|cursorFocus|cursorOnePt) = [^;]+;/g, ""],
  [
    /\b(?:isTime|showLegend|cursorFocus|cursorOnePt|legend\.live|mode == 2|xScaleDistr == [234]|scaleX\.ori == 1)\b/g,
    "false",
  ],
  [/\b(?:\w+\.)?(?:distr == (?:2|4|100)|log == 2)\b/g, "false"],
  [/\b(?:mode == 1|scaleX\.ori == 0|series\.spanGaps)\b/g, "true"],
  [/\b(?:axis\.label != null|ticks\.show)\b/g, "false"],
  [/^\t+let (?:prox|_prox|withProx|getBBox) = .*$/gm, ""],
  [/\bgetBBox = points\.bbox;/g, "_;"],
  [/\b(?:withProx|getBBox != null|opts\.title|opts\.id != null)/g, "false"],
  [/\bbias == 0 \|\| bias == -?1\b/g, "true"],
  // what only asked for them
  [/^const \[ timeIncrs.*$/gm, ""],
  [/^const (?:days3|months3|localTz|NL|yyyy|md|aa|hmm|ss|NL\w+|hmmaa) .*$/gm, ""],
  [/^const (?:days|months|engNames|subs) = .*?^[\]}];/gms, ""],
  [/^\tconst (?:_tzDate|_fmtDate|_timeAxisSplits|_timeAxisVals|_timeSeriesVal) .*$/gm, ""],
  [/^\tfunction (?:initLegendRow|syncLegend|setLegendValues)\(.*?^\t\}$/gms, ""],
  [/^\t+syncLegend\(\);$/gm, ""],
  // a drag is over x alone, a click locks nothing, and no hook waits
  [/^\t*(?:let )?dragY = s?drag\..*;$/gm, ""],
  [/^\t+let uni = .*?dragX = dragY = true;$/gms, ""],
  [/\bdragY = (?=drag\._x)/g, ""],
  [/\bcursor\._lock = .*;$/gm, ""],
  [/^\tlet (?:deferHooks|hooksQueue) = .*$/gm, ""],
  [/\b(?:dragY|cursor\._?lock|deferHooks)\b/g, "false"],
  // what uPlot offers to others
  [/^\taddClass\(root, opts\.class\);$/gm, ""],
  [/^\t\(opts\.plugins \|\| \[\]\)\.forEach\(.*?^\t\}\);$/gms, ""],
  [/^\tfunction (?:add|del|set)(?:Series|Band)\(.*?^\t\}$/gms, ""],
  [/^\tfunction (?:toggleDOM|setAlpha|setFocus|batch|flushHooks)\(.*?^\t\}$/gms, ""],
  [/^\tself\.(?:(?:add|del|set)(?:Series|Band)|batch|valToIdx|posToIdx|setLegend|setSelect) = .*$/gm, ""],
  [/^\t(?:self\.setCursor|events\["setSeries"\]) = .*?^\t\};$/gms, ""],
  [/^uPlot\.(?:assign|fmtNum|rangeLog|rangeAsinh|orient|sync) .*$/gm, ""],
  [/^\{\s+uPlot\.(?:join|fmtDate|addGap) = .*?^\}$/gms, ""],
];

/** Takes them out of uPlot's source. */
export function trimmed(source: string): string {
  return changes.reduce((text, [what, by]) => {
    const left = text.replace(what, by);
    if (left === text)
      throw new Error(`uPlot has nothing any more that ${what} describes: see trim-uplot.ts`);
    return left;
  }, source);
}

/** For the bundler. */
export const trimUPlot: Plugin = {
  name: "trim-uplot",
  setup: (build) => {
    build.onLoad({ filter: /uPlot\.esm\.js$/ }, async ({ path }) => ({
      contents: trimmed(await readFile(path, "utf8")),
      loader: "js",
    }));
  },
};
