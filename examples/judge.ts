/**
 * Pairs checked by a judge: both orders are asked for, and the pairs where the judge is of another opinion than the row are listed. Judgments
 * are kept, so that the same command asks for none twice. Run: npm run ts -- examples/judge.ts URL#MODEL PAIRS.jsonl DIR
 */
import { readRows } from "preftune/data";
import {
  judgePairs,
  OWN_PAIR_PROMPT,
  openJudging,
  outcomeOf,
  pairTasks,
  type Question,
  verdictReader,
} from "preftune/judge";

const [address = "", path = "", dir = ""] = process.argv.slice(2);
const [baseUrl = "", model = ""] = address.split("#");

const questions: Question[] = [];
const [chosen, rejected] = [new Map<string, string[]>(), new Map<string, string[]>()];
for await (const { origin, value } of readRows({ path })) {
  const id = `${origin.file}:${origin.line}`;
  const messages = [{ role: "user", content: String(value["prompt"]) }] as const;
  questions.push({
    id,
    isNamed: false,
    where: id,
    category: null,
    messages,
    followUps: [],
    temperature: null,
  });
  chosen.set(id, [String(value["chosen"])]);
  rejected.set(id, [String(value["rejected"])]);
}

using judging = openJudging(
  {
    judge: {
      ...{
        baseUrl,
        model,
        apiKey: process.env["PREFTUNE_JUDGE_KEY"] ?? null,
        temperature: 0,
        maxTokens: 1024,
      },
      ...{ retriesWithoutVerdict: 1, extra: {}, price: null },
    },
    limits: {},
    concurrency: 4,
    dir,
  },
  OWN_PAIR_PROMPT,
);
const { pairs } = await judgePairs(pairTasks(questions, chosen, rejected, OWN_PAIR_PROMPT), {
  ...{ judge: judging.judge, onJudged: judging.onJudged, concurrency: 4 },
  read: verdictReader(OWN_PAIR_PROMPT.patterns, OWN_PAIR_PROMPT.where),
});
for (const pair of pairs)
  if (outcomeOf(pair) === 0) console.log(`${pair.id}: the judge prefers the rejected answer`);
const agreed = pairs.filter((pair) => outcomeOf(pair) === 1).length;
console.log(`${agreed} of ${pairs.length} pairs: the judge is of the row's opinion in both orders`);
