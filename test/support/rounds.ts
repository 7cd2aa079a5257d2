/** A round for the dashboard to show: everything but its comparison is finished, and its answers are full of markup. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseRound } from "../../src/workbench/rounds/round-file.ts";
import { type NodeRecord, roundPaths, saveRound } from "../../src/workbench/rounds/round-record.ts";

/** Writes the round `name` below `root`. @returns its directory */
export function writeRound(root: string, name: string): string {
  const dir = join(root, name);
  const paths = roundPaths(dir);
  const yaml = `# kept
model: base
prompts: prompts.jsonl
eval_prompts: fixed.jsonl
output_dir: ${dir}
judge: people
values: { objective: dpo }
`;
  mkdirSync(dir, { recursive: true });
  const node = (text: string, facts: NodeRecord["facts"] = {}): NodeRecord => ({
    ...{ inputs: {}, made: {}, text, facts, finished: "2026-01-01T00:00:00.000Z" },
  });
  saveRound(dir, {
    settings: parseRound(yaml, "round.yaml"),
    nodes: {
      prompts: node("6 prompts, 3 fixed ones"),
      answers: node("12 answers, 1 cut"),
      labels: node("6 of 6 pairs judged by people"),
      pairs: node("12 pairs of 6 prompts", { pairs: 12, version: "d".repeat(64) }),
      data_check: node("12 rows, 0 held out, 1 warning"),
      training: node("10 steps"),
    },
    waiting: null,
    problem: null,
  });
  writeFileSync(paths.file, yaml);
  const script = "<script>document.title='hit'</script>";
  const answers = [
    { text: script, ended: true },
    { text: `<img src=x onerror="document.title='hit'">`, ended: false },
  ];
  writeFileSync(paths.answers, `${JSON.stringify({ index: 0, prompt: script, answers })}\n`);
  writeFileSync(paths.scores, `${JSON.stringify({ index: 0, answers: [script], rewards: [7] })}\n`);
  const finding = { severity: "warning", message: "Long answers.", remedy: "Look.", count: 3, rows: [] };
  writeFileSync(paths.check, JSON.stringify({ findings: [finding] }));
  return dir;
}
