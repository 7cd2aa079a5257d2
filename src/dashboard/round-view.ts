/** What a page is shown of rounds, as HTML that is made here: what comes from a round is escaped in it. */
import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { readJsonFile } from "../base/files.ts";
import { type Html, html, tableHtml } from "../report/html.ts";
import { type GraphNode, roundGraph } from "../report/round-graph.ts";
import { readJsonLines } from "../runs/json-lines.ts";
import { people } from "../workbench/rounds/round-file.ts";
import {
  type NodeState,
  nodeStates,
  nodeTitles,
  type RoundNode,
  type RoundRecord,
  roundName,
  roundNodes,
  roundPaths,
} from "../workbench/rounds/round-record.ts";
import { pageRows } from "./page-rows.ts";
import { idOf } from "./run-store.ts";

/** A round below the directories. */
export interface FoundRound {
  id: string;
  dir: string;
  record: RoundRecord;
}

const stateWords: Readonly<Record<NodeState, GraphNode["state"]>> = {
  done: "done",
  works: "at work",
  waits: "waits",
  failed: "failed",
  open: "open",
};

/** Where a round is, in words: its name, and whether a process works on it. */
export function stateOf({ dir, record }: FoundRound): { text: string; isAtWork: boolean } {
  const states = nodeStates(dir, record);
  const next = roundNodes.find((name) => states[name] !== "done");
  if (next === undefined) return { text: "finished", isAtWork: false };
  const word = {
    works: "at",
    waits: "waits for people:",
    failed: "failed at",
    open: "stopped before",
    done: "",
  };
  return {
    text: `${word[states[next]]} ${nodeTitles[next].toLowerCase()}`,
    isAtWork: states[next] === "works",
  };
}

/** The list. */
export function roundsTable(rounds: readonly FoundRound[]): Html {
  return tableHtml({
    columns: ["Round", "State", "Begins with", "Judged by", "Pairs", "Result"],
    rows: rounds.map((round) => {
      const { settings, nodes } = round.record;
      return [
        html`<a href="${addressOf(round)}">${roundName(round.dir)}</a>`,
        stateOf(round).text,
        roundName(settings.model),
        judgeOf(round),
        nodes.pairs?.facts["pairs"] ?? null,
        nodes.comparison?.text ?? null,
      ];
    }),
  });
}

function addressOf({ id }: FoundRound, show = ""): string {
  return `#/rounds/${id}${show === "" ? "" : `?show=${show}`}`;
}

function judgeOf({ record: { settings } }: FoundRound): string {
  const { judge, reward_funcs, reward_model } = settings;
  if (judge !== null) return judge === people ? people : judge.slice(judge.indexOf("#") + 1);
  return reward_model === null
    ? (reward_funcs ?? []).map(({ function: name }) => name).join(", ")
    : roundName(reward_model);
}

/** What else a dashboard shows, which nodes lead to. */
export interface Around {
  /** The workbench. */
  bench: string;
  /** Ids of the runs. */
  runs: ReadonlySet<string>;
  rounds: readonly FoundRound[];
}

/** The graph of a round. */
export function graphOf(round: FoundRound, around: Around): Html {
  const { dir, record } = round;
  const states = nodeStates(dir, record);
  const graphNode = (name: RoundNode): GraphNode => ({
    title: nodeTitles[name],
    text: record.nodes[name]?.text ?? "",
    state: stateWords[states[name]],
    href: opens(name, round, around),
  });
  const before = around.rounds.find((one) => one.dir === real(record.settings.model));
  const model: GraphNode = {
    ...{ title: "Model", text: roundName(record.settings.model), state: "given" },
    href: before === undefined ? "" : addressOf(before),
  };
  return roundGraph(model, roundNodes.map(graphNode));
}

/** What a node opens: what it made. */
function opens(name: RoundNode, round: FoundRound, { bench, runs }: Around): string {
  const { dir, record } = round;
  const node = record.nodes[name];
  const paths = roundPaths(dir);
  if (record.waiting?.node === name) return "#/label";
  if (name === "training") {
    const run = idOf(paths.run);
    return runs.has(run) ? `#/runs/${run}` : "";
  }
  if (node === undefined) return "";
  const isOwnBench = real(record.settings.workbench) === real(bench);
  switch (name) {
    case "labels":
      return isOwnBench ? "#/data?show=judged" : addressOf(round, "answers");
    case "pairs":
      return isOwnBench ? `#/data/${node.facts["version"]}` : "";
    case "data_check":
      return addressOf(round, "check");
    case "comparison":
      return existsSync(join(paths.compare, "report.html"))
        ? `/api/rounds/${round.id}/report`
        : addressOf(round, "comparison");
    default:
      return addressOf(round, "answers");
  }
}

function real(path: string): string {
  return existsSync(path) ? realpathSync(path) : path;
}

/** What the comparison came to, in figures. */
export function comparisonHtml({ record }: FoundRound): Html {
  const facts = record.nodes.comparison?.facts;
  if (facts === undefined) return html`<p class="soft">The models are not compared yet.</p>`;
  const percent = (value: unknown): string => `${(100 * Number(value)).toFixed(1)} %`;
  const moved = (value: unknown): string =>
    typeof value === "number"
      ? `${value > 0 ? "+" : ""}${value.toFixed(3)} nats per token`
      : "no held-out pairs";
  return tableHtml({
    columns: [`Against ${facts["against"]}`, "Value"],
    rows: [
      [
        "Better on the fixed prompts, ties half",
        typeof facts["win_rate"] === "number"
          ? `${percent(facts["win_rate"])} [${percent(facts["low"])}, ${percent(facts["high"])}] of ${facts["prompts"]}`
          : (record.nodes.comparison?.text ?? ""),
      ],
      ["Held-out chosen answers, since the training began", moved(facts["chosen"])],
      ["Held-out rejected answers", moved(facts["rejected"])],
    ],
  });
}

interface CheckReport {
  findings: { severity: string; message: string; remedy: string; count: number }[];
}

/** What the data check found. */
export function checkHtml({ dir }: FoundRound): Html {
  const { check } = roundPaths(dir);
  if (!existsSync(check)) return html`<p class="soft">The rows are not checked yet.</p>`;
  const { findings } = readJsonFile(check) as CheckReport;
  if (findings.length === 0) return html`<p>Nothing is wrong with the rows.</p>`;
  const items = findings.map(
    ({ severity, message, remedy, count }) =>
      html`<li class="${severity}">${message} (${count})<p>${remedy}</p></li>`,
  );
  return html`<ul class="findings">${items}</ul>`;
}

interface AnswerLine {
  index: number;
  prompt: string;
  answers: { text: string; ended: boolean }[];
}

/** A page of the answers, each with its reward where it has one. */
export function answersHtml({ dir }: FoundRound, from: number): { html: Html; total: number } {
  const { answers, scores } = roundPaths(dir);
  if (!existsSync(answers)) return { html: html`<p class="soft">Nothing is answered yet.</p>`, total: 0 };
  const lines = readJsonLines(answers).map(({ value }) => value as AnswerLine);
  const rewards = existsSync(scores) ? rewardsIn(scores) : new Map<string, number>();
  const shown = lines.slice(from, from + pageRows).map(({ index, prompt, answers: own }) => {
    const parts = own.map(({ text, ended }) => {
      const reward = rewards.get(JSON.stringify([index, text]));
      const said = [
        ended ? "" : "cut",
        reward === undefined ? "" : `reward ${Number(reward.toPrecision(4))}`,
      ];
      return html`<p class="soft">${said.filter(Boolean).join(", ")}</p><pre class="answer">${text}</pre>`;
    });
    return html`<article class="bench-prompt"><h2>${prompt}</h2>${parts}</article>`;
  });
  return { html: html`<div class="items">${shown}</div>`, total: lines.length };
}

function rewardsIn(path: string): Map<string, number> {
  const lines = readJsonLines(path).map(
    ({ value }) => value as { index: number; answers: string[]; rewards: (number | null)[] },
  );
  return new Map(
    lines.flatMap(({ index, answers, rewards }) =>
      answers.flatMap((text, i) => {
        const reward = rewards[i] ?? null;
        return reward === null ? [] : [[JSON.stringify([index, text]), reward] as const];
      }),
    ),
  );
}
