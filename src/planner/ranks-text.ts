/** The part of a plan that is about several ranks, as text for people. */
import { formatBytes } from "../base/file-io.ts";
import { formatDuration, formatNumber } from "../base/number-text.ts";
import { textTable } from "../terminal/text-table.ts";
import type { ChosenLayout } from "./layout.ts";
import type { RanksPlan } from "./ranks-plan.ts";
import type { Plan } from "./run-plan.ts";

/** What the figures of ranks leave out. */
export const rankNotes: string =
  "Several ranks: speeds of the paths between them are assumed or given, not measured, and no GPU has run them yet. Memory is that of each " +
  "rank, and what is said of each objective that of one device; gradients added up over copies of the model are not hidden.";

/** Ranks, the layout and why, and what each layout takes; empty for a run on one device. */
export function ranksText({ ranks, rows }: Plan): string {
  if (ranks === null) return "";
  const { layout, rowsPerStep, microBatches, sentPerStep, runSeconds } = ranks;
  const lines: [string, string][] = [
    ["ranks", placesText(ranks)],
    ["layout", layout.reason],
    [
      "a step",
      `${formatNumber(rowsPerStep)} rows on all ranks, ${microBatches} micro-batch${microBatches === 1 ? "" : "es"} on each; a rank sends ` +
        `${formatBytes(sentPerStep)}; ${formatDuration(layout.costs.stepSeconds)}`,
    ],
    ["hidden", hiddenText(ranks, rows.largestMicroBatch.tokens)],
    ...(runSeconds === null ? [] : [["the run", formatDuration(runSeconds)] satisfies [string, string]]),
  ];
  const head = lines.map(([label, text]) => `${label.padEnd(12)}${text}`).join("\n");
  return `${head}\n\n${comparedText(layout, microBatches)}`;
}

function placesText({ ranks, hosts, inside, link }: RanksPlan): string {
  const speed = (bytes: number) => `${formatNumber(bytes / 1e9)} GB/s a rank`;
  if (hosts.length === 1) return `${ranks} on one host, ${speed(inside)} between them`;
  const each = hosts.every((count) => count === hosts[0]) ? `${hosts[0]} each` : hosts.join(", ");
  return `${ranks} on ${hosts.length} hosts (${each}); ${speed(inside)} inside a host, ${speed(link)} between hosts (--link)`;
}

function hiddenText({ hidingTokens }: RanksPlan, tokens: number): string {
  if (hidingTokens === null) return "nothing is passed during a step; gradients are added up at its end";
  const from = `from ${formatNumber(Math.ceil(hidingTokens))} tokens a micro-batch on, passing parts of the model takes no longer than computing`;
  return `${from}; the largest has ${formatNumber(tokens)}`;
}

function comparedText({ compared, ...chosen }: ChosenLayout, microBatches: number): string {
  const cells = compared.map(({ shard, keep_gathered, costs, fits }) => {
    const { gathered, exchanged, added } = costs.traffic;
    const isChosen = shard === chosen.shard && keep_gathered === chosen.keep_gathered;
    return [
      `${isChosen ? "→" : " "} ${shard}`,
      shard === "none" ? "–" : `${keep_gathered}`,
      `${formatBytes(costs.memory)}${fits ? "" : ", too much"}`,
      formatBytes(microBatches * (gathered + exchanged) + added),
      formatDuration(costs.stepSeconds),
    ];
  });
  return textTable(["shard", "keep_\ngathered", "memory\na rank", "sent\na step", "time\na step"], cells);
}
