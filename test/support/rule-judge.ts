/**
 * A judge that goes by length alone, for tests and for trying commands out: `npm run ts -- test/support/rule-judge.ts`
 * serves it on loopback until it is stopped. It knows MT-Bench's, Arena-Hard's and preftune's prompts.
 */
import { type ChatCall, startJudge } from "./judge-server.ts";

/** What it says: a rating where there is one answer, one of five verdicts, or a letter where the prompt asks for letters. */
export function ruleAnswer({ text }: Pick<ChatCall, "text">): string {
  const [a, b] = [answerOf(text, "A"), answerOf(text, "B")];
  if (b === null) return `It is this long. Rating: [[${ratingByLength((a ?? text).length)}]]`;
  const verdict = verdictByLength((a ?? "").length, b.length);
  if (!text.includes('"[[C]]"')) return `My final verdict is: [[${verdict}]]`;
  return `[[${verdict === "A=B" ? "C" : verdict[0]}]]`;
}

/** One point for each 100 characters, from 1 to 10. */
function ratingByLength(length: number): number {
  return Math.min(10, 1 + Math.floor(length / 100));
}

/** More than twice as long is far better, more than a tenth longer is better. */
export function verdictByLength(a: number, b: number): "A>>B" | "A>B" | "A=B" | "B>A" | "B>>A" {
  if (a > 2 * b) return "A>>B";
  if (b > 2 * a) return "B>>A";
  if (a > 1.1 * b) return "A>B";
  return b > 1.1 * a ? "B>A" : "A=B";
}

/** The answer, or the conversation, of one of the two assistants; null where the prompt has none. */
function answerOf(text: string, name: "A" | "B"): string | null {
  const frames = [
    `(?:\\[|<\\|)The Start of Assistant ${name}'s [^\\]|]*(?:\\]|\\|>)\n([\\s\\S]*?)\n(?:\\[|<\\|)The End of Assistant ${name}'s`,
    `<answer_${name}>\n([\\s\\S]*?)\n</answer_${name}>`,
    ...(name === "A"
      ? ["\\[The Start of Assistant's Answer\\]\n([\\s\\S]*?)\n\\[The End of Assistant's"]
      : []),
  ];
  for (const frame of frames) {
    const found = new RegExp(frame).exec(text)?.[1];
    if (found !== undefined) return found.trim();
  }
  return null;
}

if (import.meta.main) {
  const server = await startJudge(ruleAnswer, Number(process.argv[2] ?? 8765));
  process.stdout.write(`${server.baseUrl}#rule\n`);
}
