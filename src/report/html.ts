/** Pieces of HTML that reports are put together from. Whatever comes from a run is escaped here. */
import { formatNumber } from "../base/number-text.ts";
import { REPORT_STYLE } from "./style-sheet.ts";

/** HTML that is safe to put into a page; made by {@link html}, or by code that has escaped it. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** What {@link html} takes between its parts. */
export type HtmlPart = Html | readonly Html[] | string | number | null;

/** `text` with the characters that mean something in HTML replaced. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** HTML from a template: strings put into it are escaped, {@link Html} is not. */
export function html(strings: TemplateStringsArray, ...parts: HtmlPart[]): Html {
  return new Html(
    strings.map((text, i) => text + (i < parts.length ? partText(parts[i] ?? null) : "")).join(""),
  );
}

function partText(part: HtmlPart): string {
  if (part === null) return "";
  if (part instanceof Html) return part.text;
  if (typeof part === "object") return part.map((one) => one.text).join("\n");
  return escapeHtml(String(part));
}

/** A value of a table. */
export type Cell = string | number | Html | null;

/** A table: the first cell of each row heads it. */
export interface ReportTable {
  columns: readonly string[];
  rows: readonly (readonly Cell[])[];
}

/** A table that scrolls sideways where it does not fit. */
export function tableHtml(table: ReportTable): Html {
  const classes = table.columns.map((_, i) =>
    i === 0 ? "" : columnClass(table.rows.map((row) => row[i] ?? null)),
  );
  const classOf = (i: number): Html => (classes[i] ? html` class="${classes[i]}"` : html``);
  const head = table.columns.map((column, i) => html`<th scope="col"${classOf(i)}>${column}</th>`);
  const body = table.rows.map((row) => {
    const cells = row.map((cell, i) =>
      i === 0
        ? html`<th scope="row">${cell instanceof Html ? cell : breakable(cellText(cell))}</th>`
        : html`<td${classOf(i)}>${cell instanceof Html ? cell : cellText(cell)}</td>`,
    );
    return html`<tr>${cells}</tr>`;
  });
  const width = table.columns.length > 3 ? html` class="wide"` : html``;
  return html`<div class="scroll" tabindex="0"><table${width}><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

/** Characters from which on a cell is a text that needs room. */
const longText = 40;

/** Numbers and durations stand to the right; intervals, `0.2 [0.1, 0.3]`, may wrap only before their bracket; texts have room to wrap in. */
function columnClass(cells: readonly Cell[]): string {
  if (cells.every(isNumeric)) return "number";
  const isInterval = (cell: Cell): boolean =>
    typeof cell === "string" && /^[-+−]?([\d.]+(e[-+−]?\d+)?|NaN)( %)? \[.*\]$|^–$/.test(cell);
  if (cells.every(isInterval)) return "interval";
  return cells.some((cell) => typeof cell === "string" && cell.length > longText) ? "long" : "";
}

function isNumeric(cell: Cell): boolean {
  if (cell instanceof Html) return false;
  return (
    cell === null ||
    typeof cell === "number" ||
    /^[-+−]?([\d.,]+(e[-+−]?\d+)?|NaN|Infinity)\s?(%|s|ms|min|h|MiB|GiB|MB|GB|k)?$/.test(cell) ||
    /^\d+ (h|min) \d\d (min|s)$/.test(cell)
  );
}

/** Long names may wrap after their joints; numbers may not. */
function breakable(name: string): Html {
  return new Html(escapeHtml(name).replace(/[_./](?!\d)/g, "$&<wbr>"));
}

/** A value as tables show it. */
export function cellText(cell: Exclude<Cell, Html>): string {
  if (cell === null) return "–";
  return typeof cell === "number" ? formatNumber(cell).replace("-", "−") : cell;
}

/**
 * Any value of a JSON file as a table of key and value, nested keys joined by dots; null when there is nothing.
 *
 * @param shown - what of a text is shown
 */
export function factsHtml(value: unknown, shown: (text: string) => string): Html | null {
  const rows = facts(value, "").map(
    ([key, cell]) =>
      html`<tr><th scope="row">${breakable(shown(key))}</th><td>${shown(cellText(cell))}</td></tr>`,
  );
  return rows.length === 0
    ? null
    : html`<div class="scroll facts"><table><tbody>${rows}</tbody></table></div>`;
}

function facts(value: unknown, path: string): [string, Exclude<Cell, Html>][] {
  if (value === null || value === undefined) return [];
  if (typeof value !== "object")
    return [[path, typeof value === "boolean" ? String(value) : (value as string | number)]];
  return Object.entries(value).flatMap(([key, part]) => facts(part, path === "" ? key : `${path}.${key}`));
}

/**
 * At most `longest` characters of a text, and how many more there are, without characters that steer a terminal or turn
 * the direction of writing around.
 */
export function shownText(text: string, longest: number): string {
  const more = text.length - longest;
  const shown = more > 0 ? `${text.slice(0, longest)}… (${more} more characters)` : text;
  return shown.replace(/[\p{Cc}\p{Bidi_Control}\p{Cs}]/gu, (sign) =>
    sign === "\n" || sign === "\t" ? sign : "\u00b7",
  );
}

/** A figure with a caption under it. */
export function tileHtml(value: string, caption: string): Html {
  return html`<div class="tile"><b>${value}</b><span>${caption}</span></div>`;
}

/** A whole page that loads nothing: no scripts, no fonts, no images. */
export function pageHtml(title: string, body: readonly Html[]): string {
  const policy = "default-src 'none'; style-src 'unsafe-inline'";
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${title}</title>
<style>${new Html(REPORT_STYLE)}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`.text;
}
