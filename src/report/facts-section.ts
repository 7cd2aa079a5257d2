/** The sections of a report on the export and on the data check, from their files in the run. */
import { formatNumber } from "../base/number-text.ts";
import { factsHtml, type Html, html, type ReportTable, tableHtml } from "./html.ts";

/** `export.json`: what was written, and how far its log-probs are from the trained model's. */
interface Exported {
  kind: string;
  path: string;
  dtype: string;
  tokens: number;
  maxDifference: number;
  tolerance: number;
}

/** What of `preflight.json` is shown. */
interface Checked {
  findings: {
    severity: string;
    code: string;
    count: number;
    rows: string[];
    message: string;
    remedy: string;
  }[];
  counts: Record<string, unknown>;
}

/** The export's section; nothing where there is none. */
export function exportSection(value: unknown): Html {
  if (!Array.isArray(value) || value.length === 0) return html``;
  const rows = (value as Exported[]).map(({ kind, path, dtype, tokens, maxDifference, tolerance }) => [
    kind,
    path,
    dtype,
    tokens,
    maxDifference,
    tolerance,
  ]);
  const columns = ["what", "path", "type", "tokens scored again", "largest difference, nats", "accepted"];
  return html`<section><h2>Export</h2>${tableHtml({ columns, rows })}</section>`;
}

/** Words for the counts of a data check, in their order. */
const countNames: Readonly<Record<string, string>> = {
  read: "rows read",
  train: "rows trained on",
  evaluation: "rows held out",
  notDrawn: "rows not drawn by the mixture",
  truncatedRows: "rows cut",
  truncatedTokens: "tokens cut",
  endsLost: "ends of turn lost",
};

/** The data check's section: counts, and findings with their rows and remedies; nothing where there was none. */
export function dataCheckSection(value: unknown): Html {
  const { findings, counts } = (value ?? {}) as Partial<Checked>;
  if (!Array.isArray(findings) || counts === undefined) {
    const table = factsHtml(value);
    return table === null ? html`` : html`<section><h2>Data check</h2>${table}</section>`;
  }
  const found =
    findings.length === 0 ? html`<p>Nothing was found wrong.</p>` : tableHtml(findingsTable(findings));
  return html`<section><h2>Data check</h2>${tableHtml(countsTable(counts))}${found}</section>`;
}

function countsTable(counts: Checked["counts"]): ReportTable {
  const named = Object.entries(countNames).flatMap(([key, name]): [string, string][] => {
    const count = counts[key];
    return typeof count === "number" && count > 0 ? [[name, count.toLocaleString("en-US")]] : [];
  });
  const dropped = Object.entries((counts["dropped"] ?? {}) as Record<string, number>);
  const left = dropped.map(([reason, count]): [string, string] => [
    `left out: ${reason}`,
    formatNumber(count),
  ]);
  return { columns: ["rows", "count"], rows: [...named, ...left] };
}

function findingsTable(findings: Checked["findings"]): ReportTable {
  const rows = findings.map(({ severity, code, count, rows: places, message, remedy }) => [
    severity,
    `${message} (${code})`,
    count,
    `${places.join(", ")}${count > places.length && places.length > 0 ? ", …" : ""}`,
    remedy,
  ]);
  return { columns: ["", "what was found", "rows", "where", "what to do"], rows };
}
