/** Pairs of answers, judged in both orders. */
import { at } from "../../base/at.ts";
import type { Answers } from "../answers/answer-rows.ts";
import { type Question, questionText } from "../answers/questions.ts";
import { forEachAtOnce } from "../endpoint/at-once.ts";
import type { ChatMessage } from "../endpoint/chat-body.ts";
import type { Judge, Judgment } from "./judge.ts";
import { fillPrompt, type PairPrompt } from "./judge-prompts.ts";
import type { JudgedPair } from "./judged-pair.ts";
import { type JudgedMaterial, type JudgedText, materialOf, pairText } from "./judged-texts.ts";
import { styleOf } from "./style.ts";
import type { PairVerdict } from "./verdicts.ts";

/** A pair to be judged. */
export interface PairTask extends Omit<JudgedPair, "verdicts">, JudgedMaterial {
  /** What the judge is asked, with A shown first and with B shown first. */
  orders: readonly [ChatMessage[], ChatMessage[]];
}

/** Preftune's own prompt: five verdicts, in the form that Arena-Hard's has too. */
export const OWN_PAIR_PROMPT: PairPrompt = {
  name: "preftune-pair-v1",
  where: "preftune",
  system:
    "You compare two answers that assistants gave to the same user. Say which one serves the user better: " +
    "it does what was asked, what it says is true, and it says what matters without padding. " +
    "Judge what is said, not how long it is, how it is formatted, or which answer comes first.\n\n" +
    "First point out the faults and merits that decide the matter, in a few sentences. " +
    "Then end with exactly one of these verdicts, in its double brackets:\n" +
    "[[A>>B]] A is much better\n[[A>B]] A is somewhat better\n[[A=B]] they are equally good\n" +
    "[[B>A]] B is somewhat better\n[[B>>A]] B is much better",
  template:
    "<user>\n{QUESTION}\n</user>\n\n<answer_A>\n{ANSWER_A}\n</answer_A>\n\n<answer_B>\n{ANSWER_B}\n</answer_B>",
  patterns: [String.raw`\[\[([AB<>=]+)\]\]`],
  temperature: 0,
  maxTokens: 2048,
};

/** A pair for each question, all turns of it together. */
export function pairTasks(
  questions: readonly Question[],
  a: Answers,
  b: Answers,
  prompt: PairPrompt,
): PairTask[] {
  return questions.map((question) => {
    const { id, category } = question;
    const [ofA, ofB] = [a.get(id) ?? [], b.get(id) ?? []];
    const ask = (first: readonly string[], second: readonly string[]): ChatMessage[] => {
      const values = {
        question: questionText(question),
        answer_a: dialogue(question, first),
        answer_b: dialogue(question, second),
      };
      // Arena-Hard's files name the places in capitals, older ones by numbers.
      const capitals = Object.entries(values).map(([name, text]) => [name.toUpperCase(), text]);
      const { question: question1, answer_a: answer1, answer_b: answer2 } = values;
      return fillPrompt(
        prompt,
        {
          ...values,
          ...Object.fromEntries(capitals),
          question_1: question1,
          answer_1: answer1,
          answer_2: answer2,
        },
        2,
      );
    };
    return {
      id,
      category,
      turn: 1,
      question: questionText(question),
      answers: [dialogue(question, ofA), dialogue(question, ofB)],
      orders: [ask(ofA, ofB), ask(ofB, ofA)],
      styles: [styleOf(ofA), styleOf(ofB)],
    };
  });
}

/** The answers with the user's turns in between. */
function dialogue({ followUps }: Question, turns: readonly string[]): string {
  const [first = "", ...later] = turns;
  return later.reduce(
    (text, turn, i) => `${text}\n\nUser: ${followUps[i] ?? ""}\n\nAssistant: ${turn}`,
    first,
  );
}

/** How pairs are judged. */
export interface PairJudging {
  judge: Judge;
  /** The verdict in an answer: above 0 where the first of the two is better. */
  read: (answer: string) => PairVerdict | null;
  concurrency: number;
  /** Called with the number of judgments done so far. */
  onJudged: (done: number, total: number) => void;
}

/** Judged pairs: for statistics, and as text. */
export interface JudgedPairs {
  pairs: JudgedPair[];
  texts: JudgedText[];
}

/**
 * The pairs with the verdicts of both orders.
 *
 * @throws {EndpointError} when the judge gives no answers; those it gave are kept
 */
export async function judgePairs(
  tasks: readonly PairTask[],
  { judge, read, concurrency, onJudged }: PairJudging,
): Promise<JudgedPairs> {
  const none: Judgment<PairVerdict> = { verdict: null, reason: null, text: "" };
  const judged = tasks.map(() => [none, none] as [Judgment<PairVerdict>, Judgment<PairVerdict>]);
  const asked = tasks.flatMap(({ orders }, pair) =>
    orders.map((messages, order) => ({ pair, order, messages })),
  );
  let done = 0;
  await forEachAtOnce(asked, concurrency, async ({ pair, order, messages }) => {
    const judgment = await judge.verdict(messages, read);
    const both = at(judged, pair);
    both[order] = order === 0 ? judgment : swapped(judgment);
    onJudged(++done, asked.length);
  });
  const both = tasks.map((task, i) => ({ task, judgments: judged[i] ?? ([none, none] as const) }));
  return {
    pairs: both.map(({ task: { id, category, turn, styles }, judgments: [first, second] }) => {
      return { id, category, turn, styles, verdicts: [first.verdict, second.verdict] };
    }),
    texts: both.map(({ task, judgments: [first, second] }) => ({
      ...materialOf(task),
      judgments: [pairText("A", first), pairText("B", second)],
    })),
  };
}

/** The judgment seen from the other side. */
function swapped(judgment: Judgment<PairVerdict>): Judgment<PairVerdict> {
  const { verdict } = judgment;
  return { ...judgment, verdict: verdict === null ? null : ((0 - verdict) as PairVerdict) };
}
