/** What the on-policy benchmark trains on. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type OnlinePlan, onlinePrompts } from "./online-record.ts";
import { benchFolder, modelNamed, runHere } from "./processes.ts";

/** The part of a plan that a world decides. */
export type World = Pick<OnlinePlan, "modelDir" | "rows" | "held" | "reward" | "learningRate" | "adamBeta2">;

/** Worlds by name; their files are made where there are none yet. */
export const worlds: Readonly<Record<"letters" | "islands", () => World>> = {
  letters() {
    mkdirSync(benchFolder, { recursive: true });
    const rows = join(benchFolder, "online-prompts.jsonl");
    writeFileSync(
      rows,
      onlinePrompts()
        .map((prompt) => `${JSON.stringify({ prompt })}\n`)
        .join(""),
    );
    const modelDir = modelNamed("bench");
    return { modelDir, rows, held: null, reward: "even_share", learningRate: 1e-5, adamBeta2: 0.999 };
  },
  islands() {
    const dir = join(benchFolder, "islands");
    if (!existsSync(dir)) runHere("islands-child.ts", [dir], 1);
    return {
      ...{ modelDir: join(dir, "sft", "model"), rows: join(dir, "train.jsonl") },
      ...{ held: join(dir, "eval.jsonl"), reward: "exact", learningRate: 5e-4, adamBeta2: 0.98 },
    };
  },
};
