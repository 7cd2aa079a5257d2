/** 200 pairs, of which 40 have a defect of one of eight kinds, and what the filters need to find them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../../src/base/random.ts";

/** The filters, in the order in which the defects are planted, and how many rows each has. */
export const plantedKinds = [
  "empty_answer",
  "identical_pair",
  "duplicate_row",
  "near_duplicate",
  "prompt_in_both_splits",
  "in_benchmark",
  "length_gap",
  "cut_off",
] as const;

/** Rows of each kind. */
export const plantedEach = 5;

/** A pair of plain text. */
export interface PlantedRow {
  prompt: string;
  chosen: string;
  rejected: string;
}

const subjects = [
  "ferry",
  "lamp",
  "garden",
  "clock",
  "bridge",
  "kettle",
  "harbour",
  "letter",
  "window",
  "orchard",
];
const places = ["north", "south", "east", "west", "old town", "valley", "shore", "market", "mill", "station"];
const doings = [
  "opens",
  "closes",
  "leaves",
  "arrives",
  "rings",
  "shines",
  "turns",
  "waits",
  "rests",
  "starts",
];

/** A pair that differs from all others in its words. */
function goodRow(i: number, random: Random): PlantedRow {
  const words = Array.from({ length: 6 }, () => `${random.pick(subjects)}${random.below(1000)}`).join(" ");
  const place = random.pick(places);
  return {
    prompt: `When and why does the ${random.pick(subjects)} number ${i} of the ${place} open with ${words}?`,
    chosen: `It ${random.pick(doings)} at ${random.below(24)} because the ${words} asks for it in the ${place} every ${i} days.`,
    rejected: `Nobody knows when number ${i} ${random.pick(doings)}, and ${words} does not matter at all in the ${place}.`,
  };
}

/** The defective form of a good row. `earlier`: a row that stays. */
function defective(kind: (typeof plantedKinds)[number], row: PlantedRow, earlier: PlantedRow): PlantedRow {
  switch (kind) {
    case "empty_answer":
      return { ...row, rejected: "  \n" };
    case "identical_pair":
      return { ...row, rejected: row.chosen };
    case "duplicate_row":
      return { ...earlier };
    case "near_duplicate":
      return { ...earlier, chosen: earlier.chosen.replace(/\.$/, ", always.") };
    case "length_gap":
      return { ...row, chosen: Array.from({ length: 9 }, (_, n) => `${row.chosen} Point ${n}.`).join(" ") };
    case "cut_off":
      return { ...row, chosen: row.chosen.replace(/ every \d+ days\.$/, " every") };
    default:
      return row;
  }
}

/** Writes `rows.jsonl`, `held-out.jsonl` and `benchmark.jsonl` into `dir`. @returns the defect of each row, null for none */
export function writePlantedRows(dir: string): { rows: PlantedRow[]; defects: (string | null)[] } {
  const random = new Random(17);
  const good = Array.from({ length: 200 }, (_, i) => goodRow(i, random));
  const defects = good.map((_, i) =>
    i % 5 === 4 ? (plantedKinds[Math.floor(i / 5) % plantedKinds.length] ?? null) : null,
  );
  const rows = good.map((row, i) => {
    const kind = defects[i] as (typeof plantedKinds)[number] | null;
    return kind === null ? row : defective(kind, row, good[i - 1] ?? row);
  });
  const promptsOf = (kind: string) => rows.filter((_, i) => defects[i] === kind).map(({ prompt }) => prompt);
  const write = (name: string, values: readonly unknown[]): void =>
    writeFileSync(join(dir, name), values.map((value) => `${JSON.stringify(value)}\n`).join(""));
  write("rows.jsonl", rows);
  const heldOut = promptsOf("prompt_in_both_splits").map((prompt) => ({
    prompt,
    chosen: "Yes, so it is.",
    rejected: "No, it is not.",
  }));
  write("held-out.jsonl", [...heldOut, goodRow(999, random)]);
  write(
    "benchmark.jsonl",
    promptsOf("in_benchmark").map((prompt) => ({
      question: `Answer briefly. ${prompt} Think first.`,
      answer: "4",
    })),
  );
  return { rows, defects };
}

/** The recipe that finds them. */
export function plantedRecipe(dir: string): string {
  return `data: ${join(dir, "rows.jsonl")}
eval_data: ${join(dir, "held-out.jsonl")}
output: ${join(dir, "clean.jsonl")}
filters:
  - empty_answer
  - identical_pair
  - duplicate_row
  - near_duplicate
  - prompt_in_both_splits
  - in_benchmark: { files: [${join(dir, "benchmark.jsonl")}] }
  - length_gap
  - cut_off
`;
}
