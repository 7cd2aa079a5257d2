/** The graph of a round: its nodes from prompts to comparison, each a link to what it made, with the model that it begins with. */
import { type Html, html } from "./html.ts";

/** A node as it is drawn. */
export interface GraphNode {
  title: string;
  /** What it came to. */
  text: string;
  /** Stands beside its title, but for what is open or was given. */
  state: "done" | "at work" | "waits" | "failed" | "open" | "given";
  /** What it opens; "": nothing yet. */
  href: string;
}

const width = 400;
const height = 46;
const gap = 22;
/** The nodes stand between these; edges that pass them by run outside. */
const column = { left: 40, right: width - 40 };
const half = { left: 0, right: width / 2 - 10 };

const colours: Readonly<Record<GraphNode["state"], string>> = {
  done: "c3",
  "at work": "c1",
  waits: "c2",
  failed: "c7",
  open: "c6",
  given: "c6",
};

/**
 * The picture.
 *
 * @param model - what the round begins with
 * @param nodes - in their order: prompts first, the training last but one, the comparison last
 */
export function roundGraph(model: GraphNode, [prompts, ...nodes]: readonly GraphNode[]): Html {
  if (prompts === undefined) return html``;
  const topOf = (row: number): number => row * (height + gap);
  const middle = width / 2;
  const last = nodes.length;
  const boxes = [
    box(model, half, 0),
    box(prompts, { left: width / 2 + 10, right: width }, 0),
    ...nodes.map((node, i) => box(node, column, topOf(i + 1))),
  ];
  const down = nodes.map((_, i) => {
    const from = i === 0 ? middle + 60 : middle;
    return edge(`M${from} ${topOf(i) + height}V${topOf(i + 1)}`, from, topOf(i + 1));
  });
  const fromModel = [
    edge(`M${middle - 60} ${height}V${topOf(1)}`, middle - 60, topOf(1)),
    around(14, column.left, [height, topOf(last - 1) + height / 2]),
    around(26, column.left, [height, topOf(last) + height / 2]),
  ];
  const fixed = around(width - 14, column.right, [height, topOf(last) + height / 2]);
  const label = [model, prompts, ...nodes].map(({ title, state }) => `${title} ${state}`).join(", ");
  return html`<svg class="round-graph" viewBox="-2 -2 ${width + 4} ${topOf(last) + height + 4}" role="group" aria-label="${label}">${[...down, ...fromModel, fixed, ...boxes]}</svg>`;
}

/** Characters that fit a node's second line, and half of one. */
const fits = { whole: 50, half: 28 };

function box(
  { title, text, state, href }: GraphNode,
  { left, right }: { left: number; right: number },
  top: number,
): Html {
  const most = right - left > width / 2 ? fits.whole : fits.half;
  const shown = text.length > most ? `${text.slice(0, most - 1)}…` : text;
  const inside = html`<title>${title}: ${state}${text === "" ? "" : `, ${text}`}</title>
<rect class="${state}" x="${left}" y="${top}" width="${right - left}" height="${height}" rx="8"/>
<text class="name" x="${left + 12}" y="${top + 19}">${title}</text><text x="${right - 12}" y="${top + 19}" text-anchor="end">${state === "open" || state === "given" ? "" : state}</text>
<text x="${left + 12}" y="${top + 36}">${shown}</text>`;
  const linked = href === "" ? inside : html`<a href="${href}">${inside}</a>`;
  return html`<g class="${colours[state]}">${linked}</g>`;
}

/** An edge with its head, which points down at (x, y). */
function edge(d: string, x: number, y: number): Html {
  return html`<path d="${d}"/><path class="head" d="M${x - 4} ${y - 7}h8L${x} ${y}z"/>`;
}

/** An edge beside the nodes: down at `x`, then to the side of one. */
function around(x: number, side: number, [from, to]: readonly [number, number]): Html {
  const back = x < side ? -7 : 7;
  return html`<path d="M${x} ${from}V${to}H${side}"/><path class="head" d="M${side + back} ${to - 4}v8L${side} ${to}z"/>`;
}
