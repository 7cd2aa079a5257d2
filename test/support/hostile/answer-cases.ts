/** Answers that are long and hard to read: of models, in `evaluate diversity`, and of a judge, in `evaluate mt-bench`. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type JudgeServer, startJudge } from "../judge-server.ts";
import { judged } from "./data-cases.ts";
import type { HostileCase } from "./hostile.ts";
import { hostilePieces, hostileReplies } from "./long-texts.ts";

const size = 1e5;

/** Texts of 100 KB, by what they are. */
const texts: readonly (readonly [name: string, text: string])[] = [
  ...hostilePieces.map((piece) => [JSON.stringify(piece), piece.repeat(size / piece.length)] as const),
  ...Object.entries(hostileReplies(size)),
];

/** Two answers, of which one is a hostile text; neither is wrong. */
export const answerCases: HostileCase[] = texts.map(([name, text]) => ({
  name: `answers: 100 KB of ${name}`,
  write: (dir) =>
    writeFileSync(
      join(dir, "x.jsonl"),
      [text, "a b"].map((answer) => `${JSON.stringify({ prompt: "p", answer })}\n`).join(""),
    ),
  command: (dir) => ["evaluate", "diversity", "--answers", join(dir, "x.jsonl")],
  expects: null,
}));

/** A judge that replies to the question `reply N` with the Nth text. */
export function startHostileJudge(): Promise<JudgeServer> {
  return startJudge(({ text }) => texts[Number(/reply (\d+)/.exec(text)?.[1])]?.[1] ?? "[[5]]");
}

/** Its replies hold no verdict: the evaluation ends with that count. */
export function replyCases({ baseUrl }: JudgeServer): HostileCase[] {
  return texts.map(([name], i) => ({
    name: `a judge's reply: 100 KB of ${name}`,
    write: () => {},
    command: (dir) => judged(dir, [], { asked: `reply ${i}`, judge: `${baseUrl}#m` }),
    expects: /expected verdicts, got none in 1 judgments/,
  }));
}
