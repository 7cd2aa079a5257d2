/** From judgments to rows that are trained on, by rules that are said and counted. */
import { DataError } from "../base/errors.ts";
import type { Answer } from "../data/answer-columns.ts";
import type { Choice, Comparison } from "./comparison.ts";
import { dividedExtra, inOrder, itemIdOf, otherThan } from "./comparison.ts";
import type { LabelState, Vote } from "./label-events.ts";
import type { LabelStore } from "./label-store.ts";

/** What becomes of items that do not give one better answer. */
export interface ExportRules {
  /** "pairs": prompt, chosen, rejected (TRL's DPO). "kto": prompt, completion, label. */
  rows: "pairs" | "kto";
  /** Equally good answers. "drop", or for KTO rows "good": both are. */
  ties: "drop" | "good";
  /** Two bad answers. "drop", or for KTO rows "bad": both are. */
  bad: "drop" | "bad";
  /** Judgments that differ: "drop", what most said ("majority", dropped where there is no most), or "error". */
  conflicts: "drop" | "majority" | "error";
}

/** Rules that lose nothing in silence: what is left out is counted. */
const defaultRules: ExportRules = { rows: "pairs", ties: "drop", bad: "drop", conflicts: "drop" };

/** Where each item went; the counts of `items` add up. */
export interface ExportCounts {
  items: number;
  unlabelled: number;
  /** All who saw it skipped it. */
  skipped: number;
  /** Judgments differ, and no decision or majority settles it. */
  conflicts: number;
  ties: number;
  bad: number;
  /** Those that gave rows. */
  used: number;
  /** Of those used: by a decision, by what most said, with an edited answer, by a judge alone, by the file alone. */
  decided: number;
  byMajority: number;
  edited: number;
  byJudge: number;
  byFile: number;
  rows: number;
  /** Edited answers that are in no row: of judgments that do not count, or beside another edit. */
  editsLeftOut: number;
  /** Texts that were written as messages, because others are conversations: trainers read files of one kind. */
  textsAsMessages: number;
}

/** Rows with their counts. */
export interface ExportedLabels {
  rows: Record<string, unknown>[];
  counts: ExportCounts;
}

/** What counts for one item. */
interface Outcome {
  choice: Said | null;
  by: "decision" | "people" | "judge" | "file" | "majority";
  votes: readonly Pick<Vote, "person" | "verdict" | "strength" | "edit">[];
  /** Who decided. */
  decidedBy?: string;
}

/**
 * What counts for each item: a decision before people, people before judges, judges before what the file said.
 *
 * @param conflicts - whether most of those who differ decide
 * @param isHeard - whose votes are looked at; default: everybody's
 */
function outcomesOf(
  store: LabelStore,
  conflicts: ExportRules["conflicts"],
  isHeard: (person: string) => boolean = () => true,
): Map<string, Outcome> {
  const state = store.state();
  const byItem = new Map<string, Vote[]>();
  const seen = new Set<string>();
  for (const vote of state.votes.values()) {
    // who says two things of one pair contradicts themselves, which is a conflict too
    const key = `${vote.item} ${vote.verdict} ${vote.person}`;
    if (vote.showing?.isRepeat === true || seen.has(key) || !isHeard(vote.person)) continue;
    seen.add(key);
    byItem.set(vote.item, [...(byItem.get(vote.item) ?? []), vote]);
  }
  return new Map(store.order.map((id) => [id, outcomeOf(id, byItem.get(id) ?? [], state, conflicts)]));
}

/** Items whose judgments differ and that no decision settles. */
export function conflictsIn(store: LabelStore): string[] {
  return [...outcomesOf(store, "drop")].flatMap(([id, { choice }]) => (choice === "conflict" ? [id] : []));
}

/** What people say of an item: one thing, different things, or that they skip it. */
export type Said = Choice | "conflict" | "skip";

/** What people, or a decision, say of each item, whatever a judge or the file says; null: nothing yet. */
export function saidByPeople(store: LabelStore): Map<string, Said | null> {
  const { people } = store.state();
  const outcomes = outcomesOf(store, "drop", (person) => people.get(person) === "person");
  return new Map([...outcomes].map(([id, { choice }]) => [id, choice]));
}

function outcomeOf(
  item: string,
  votes: readonly Vote[],
  state: LabelState,
  conflicts: ExportRules["conflicts"],
): Outcome {
  const decision = state.decisions.get(item);
  if (decision !== undefined)
    return { choice: decision.choice, by: "decision", votes, decidedBy: decision.person };
  for (const kind of ["person", "judge", "file"] as const) {
    const given = votes.filter(
      ({ person, verdict }) => verdict !== "skip" && state.people.get(person) === kind,
    );
    if (given.length > 0) return together(given, kind === "person" ? "people" : kind, conflicts);
  }
  return { choice: votes.length === 0 ? null : "skip", by: "people", votes };
}

/** What judgments of one rank say together. */
function together(votes: readonly Vote[], by: Outcome["by"], conflicts: ExportRules["conflicts"]): Outcome {
  const verdicts = votes.map(({ verdict }) => verdict).filter((verdict) => verdict !== "skip");
  const count = (choice: Choice) => verdicts.filter((verdict) => verdict === choice).length;
  const [first, second] = [...new Set(verdicts)].toSorted((one, other) => count(other) - count(one));
  if (first === undefined || second === undefined) return { choice: first ?? null, by, votes };
  const isMost = conflicts === "majority" && count(first) > count(second);
  return isMost ? { choice: first, by: "majority", votes } : { choice: "conflict", by, votes };
}

/**
 * The rows of everything that was judged, each with a `meta` column: item, verdict, who judged, which models wrote.
 *
 * @throws {DataError} where judgments differ and the rule is "error", or a rule does not fit the kind of rows
 */
export function exportLabels(store: LabelStore, given: Partial<ExportRules> = {}): ExportedLabels {
  const rules = { ...defaultRules, ...given };
  refuseUnfit(rules);
  const counts = noCounts();
  const rows: Record<string, unknown>[] = [];
  for (const [id, outcome] of outcomesOf(store, rules.conflicts)) {
    counts.items++;
    counts.editsLeftOut += outcome.votes.filter(({ edit }) => edit !== undefined).length;
    if (!isUsed(id, outcome, { rules, counts })) continue;
    rows.push(...rowsOf(store.item(id), outcome, { rules, counts }));
  }
  counts.rows = rows.length;
  return { rows: ofOneKind(rows, counts), counts };
}

function noCounts(): ExportCounts {
  return {
    ...{ items: 0, unlabelled: 0, skipped: 0, conflicts: 0, ties: 0, bad: 0, used: 0 },
    ...{ decided: 0, byMajority: 0, edited: 0, byJudge: 0, byFile: 0, rows: 0 },
    ...{ editsLeftOut: 0, textsAsMessages: 0 },
  };
}

const partColumns = { prompt: "user", completion: "assistant", chosen: "assistant", rejected: "assistant" };

/** Where some rows are conversations, the texts of the others as messages. */
function ofOneKind(rows: Record<string, unknown>[], counts: ExportCounts): Record<string, unknown>[] {
  const some = (type: "string" | "object") =>
    rows.some((row) => Object.keys(partColumns).some((name) => typeof row[name] === type));
  if (!some("object") || !some("string")) return rows;
  return rows.map((row) => {
    const texts = Object.entries(partColumns).flatMap(([name, role]) => {
      const content = row[name];
      return typeof content === "string" ? [[name, [{ role, content }]] as const] : [];
    });
    if (texts.length > 0) counts.textsAsMessages++;
    return { ...row, ...Object.fromEntries(texts) };
  });
}

function refuseUnfit({ rows, ties, bad }: ExportRules): void {
  if (rows === "kto" || (ties === "drop" && bad === "drop")) return;
  throw new DataError(
    `rules for ties and bad answers other than "drop" are for rows of one answer, got ${ties} and ${bad} for pairs. ` +
      "Export KTO rows, or drop them.",
  );
}

interface Account {
  rules: ExportRules;
  counts: ExportCounts;
}

/** Whether the item gives rows; counts it either way. */
function isUsed(id: string, { choice, by }: Outcome, { rules, counts }: Account): boolean {
  switch (choice) {
    case null:
      counts.unlabelled++;
      return false;
    case "skip":
      counts.skipped++;
      return false;
    case "conflict":
      if (rules.conflicts === "error")
        throw new DataError(
          `item ${id.slice(0, 12)}: expected one judgment, got several that differ. Decide it, or choose another rule.`,
        );
      counts.conflicts++;
      return false;
    case "tie":
    case "bad": {
      counts[choice === "tie" ? "ties" : "bad"]++;
      if (rules[choice === "tie" ? "ties" : "bad"] === "drop") return false;
      break;
    }
    default:
  }
  counts.used++;
  if (by === "decision") counts.decided++;
  if (by === "majority") counts.byMajority++;
  if (by === "judge") counts.byJudge++;
  if (by === "file") counts.byFile++;
  return true;
}

function rowsOf(
  { id, comparison }: { id: string; comparison: Comparison },
  { choice, by, votes, decidedBy }: Outcome,
  { rules, counts }: Account,
): Record<string, unknown>[] {
  const { prompt, answers, extra } = comparison;
  const models = comparison.models.map((model) => model ?? "unknown");
  const { inputs, others: rest } = dividedExtra(extra);
  // as a text: their types differ from row to row
  const others = Object.keys(rest).length === 0 ? {} : { extra: JSON.stringify(rest) };
  const at = (answer: "a" | "b") => (answer === "a" ? 0 : 1);
  const meta = {
    item: id,
    verdict: choice,
    by,
    ...(decidedBy === undefined ? {} : { decidedBy }),
    votes: votes.map(({ person, verdict, strength }) => ({ person, verdict, strength })),
  };
  if (choice !== "a" && choice !== "b") {
    const label = choice === "tie";
    return answers.map((completion, i) => ({
      ...{ prompt, completion, label, ...inputs },
      meta: { ...meta, model: models[i], ...others },
    }));
  }
  // an edit of somebody who says otherwise is not what counts
  const edit = votes.find((vote) => vote.edit !== undefined && vote.verdict === choice)?.edit;
  const pair = edit === undefined ? chosenOf(answers, choice) : editedOf(answers, choice, edit);
  if (edit !== undefined) {
    counts.edited++;
    counts.editsLeftOut--;
  }
  const best = edit?.answer ?? choice;
  const wrote = {
    chosen: edit === undefined ? models[at(best)] : `${models[at(best)]}, edited`,
    rejected: models[at(best === choice ? otherThan(choice) : best)],
  };
  if (rules.rows === "pairs")
    return [{ prompt, ...pair, ...inputs, meta: { ...meta, models: wrote, ...others } }];
  return [
    { ...{ prompt, completion: pair.chosen, label: true, ...inputs }, ...metaOf(wrote.chosen) },
    { ...{ prompt, completion: pair.rejected, label: false, ...inputs }, ...metaOf(wrote.rejected) },
  ];

  function metaOf(model: string | undefined): { meta: object } {
    return { meta: { ...meta, model, ...others } };
  }
}

interface Pair {
  chosen: Answer;
  rejected: Answer;
}

function chosenOf(answers: readonly [Answer, Answer], choice: "a" | "b"): Pair {
  const [a, b] = answers;
  return choice === "a" ? { chosen: a, rejected: b } : { chosen: b, rejected: a };
}

/** The edited answer is chosen: over the other one where it was preferred before, else over its own first wording. */
function editedOf(
  answers: readonly [Answer, Answer],
  choice: "a" | "b",
  { answer, text }: NonNullable<Vote["edit"]>,
): Pair {
  const { chosen, rejected } = chosenOf(answers, answer);
  const edited = typeof chosen === "string" ? text : [{ role: "assistant" as const, content: text }];
  return { chosen: edited, rejected: choice === answer ? rejected : chosen };
}

/** The row of a pair by what one judge says of it, as an export has it. @param verdict - of the comparison as it is in order */
export function judgedRow(
  comparison: Comparison,
  verdict: "a" | "b",
  judge: string,
): Record<string, unknown> {
  const item = { id: itemIdOf(comparison), comparison: inOrder(comparison) };
  const votes = [{ person: judge, verdict, strength: 1 as const }];
  const account = { rules: defaultRules, counts: noCounts() };
  const [row = {}] = rowsOf(item, { choice: verdict, by: "judge", votes }, account);
  return row;
}
