/**
 * MT-Bench: 80 questions of two turns in eight categories, rated from 1 to 10 or compared in pairs.
 *
 * Paper: Zheng et al. 2023, Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena, arXiv:2306.05685.
 * Differs: an answer of the judge with several ratings has none, where FastChat takes the first.
 */
import { DataError } from "../../base/errors.ts";
import type { BootstrapOptions } from "../../stats/bootstrap.ts";
import { meanOverGroups, type Statistic } from "../../stats/mean-over-groups.ts";
import type { Answers } from "../answers/answer-rows.ts";
import { type Question, questionText } from "../answers/questions.ts";
import type { ChatMessage } from "../endpoint/chat-body.ts";
import { correlationStatistic } from "../judge/judge-bias.ts";
import { fillPrompt, type JudgePrompt } from "../judge/judge-prompts.ts";
import { byQuestion } from "../judge/judged-pair.ts";
import type { JudgedMaterial } from "../judge/judged-texts.ts";
import type { PairTask } from "../judge/pair-tasks.ts";
import { styleOf } from "../judge/style.ts";
import { promptNamed } from "./mt-bench-prompts.ts";

/** Temperatures at which the categories are answered. */
const temperatures: Readonly<Record<string, number>> = {
  writing: 0.7,
  roleplay: 0.7,
  extraction: 0,
  math: 0,
  coding: 0,
  reasoning: 0,
  stem: 0.1,
  humanities: 0.1,
};

/** Temperature where neither question nor category says one. */
const otherTemperature = 0.7;

/** Categories whose answers are compared with a reference. */
const referencedCategories: ReadonlySet<string | null> = new Set(["math", "reasoning", "coding"]);

/** The temperature at which a question is answered. */
export function mtBenchTemperature({ temperature, category }: Question): number {
  return temperature ?? temperatures[category ?? ""] ?? otherTemperature;
}

/** Whether a question's answers are graded against a reference. */
export function needsReference({ category }: Question): boolean {
  return referencedCategories.has(category);
}

/** What the judge's prompts are filled from. */
export interface MtBenchMaterial {
  questions: readonly Question[];
  prompts: ReadonlyMap<string, JudgePrompt>;
  /** File of the prompts, for messages. */
  promptPath: string;
  /** By question id; null: no category is graded against one. */
  references: Answers | null;
}

/** A turn to be rated. */
export interface RatingTask extends JudgedMaterial {
  turn: 1 | 2;
  messages: ChatMessage[];
  /** Words of the answers that are rated. */
  length: number;
}

/** The turns of all questions, as the judge is asked to rate them. */
export function ratingTasks(material: MtBenchMaterial, answers: Answers): RatingTask[] {
  return eachTurn(material).map(({ question, turn, stem }) => {
    const turns = answersTo(answers, question);
    const values = {
      ...questionValues(material, question),
      answer: turns[0] ?? "",
      answer_1: turns[0] ?? "",
      answer_2: turns[1] ?? "",
    };
    const prompt = promptNamed(material.prompts, `single-${stem("v1")}`, material.promptPath);
    return {
      ...readable(question, turn, [turns]),
      turn,
      messages: fillPrompt(prompt, values, 1),
      length: styleOf([turns[turn - 1] ?? ""]).length,
    };
  });
}

/** The turns of all questions, as the judge is asked to compare two models' answers. */
export function mtBenchPairTasks(material: MtBenchMaterial, a: Answers, b: Answers): PairTask[] {
  return eachTurn(material).map(({ question, turn, stem }): PairTask => {
    const prompt = promptNamed(material.prompts, `pair-${stem("v2")}`, material.promptPath);
    const given = questionValues(material, question);
    const ask = (first: readonly string[], second: readonly string[]): ChatMessage[] =>
      fillPrompt(
        prompt,
        {
          ...given,
          answer_a: first[0] ?? "",
          answer_b: second[0] ?? "",
          answer_a_1: first[0] ?? "",
          answer_b_1: second[0] ?? "",
          answer_a_2: first[1] ?? "",
          answer_b_2: second[1] ?? "",
        },
        2,
      );
    const [ofA, ofB] = [answersTo(a, question), answersTo(b, question)];
    return {
      ...readable(question, turn, [ofA, ofB]),
      orders: [ask(ofA, ofB), ask(ofB, ofA)],
      styles: [styleOf([ofA[turn - 1] ?? ""]), styleOf([ofB[turn - 1] ?? ""])],
    };
  });
}

function readable(question: Question, turn: 1 | 2, turns: readonly (readonly string[])[]): JudgedMaterial {
  const { id, category, followUps } = question;
  return {
    id,
    category,
    turn,
    question: turn === 1 ? questionText(question) : (followUps[0] ?? ""),
    answers: turns.map((answers) => answers[turn - 1] ?? ""),
  };
}

interface Turn {
  question: Question;
  turn: 1 | 2;
  /** Name of the prompt behind "single-" or "pair-"; `plain` is the version of prompts without reference. */
  stem(plain: string): string;
}

function eachTurn({ questions, references }: MtBenchMaterial): Turn[] {
  return questions.flatMap((question) => {
    if (question.followUps.length > 1) {
      throw new DataError(
        `${question.where}: expected one or two turns, which MT-Bench's judge prompts have places for, got ` +
          `${question.followUps.length + 1}. Take the others out.`,
      );
    }
    const turns: (1 | 2)[] = question.followUps.length === 0 ? [1] : [1, 2];
    return turns.map((turn) => ({
      question,
      turn,
      stem: (plain: string) =>
        `${references !== null && needsReference(question) ? "math-v1" : plain}${turn === 1 ? "" : "-multi-turn"}`,
    }));
  });
}

function questionValues({ references }: MtBenchMaterial, question: Question): Record<string, string> {
  const { id, followUps, where } = question;
  const reference = references !== null && needsReference(question) ? references.get(id) : [];
  if (reference === undefined) {
    throw new DataError(`${where}: expected a reference answer to question ${id}, found none.`);
  }
  const first = questionText(question);
  return {
    question: first,
    question_1: first,
    question_2: followUps[0] ?? "",
    ref_answer_1: reference[0] ?? "",
    ref_answer_2: reference[1] ?? "",
  };
}

function answersTo(answers: Answers, { id, where }: Question): readonly string[] {
  const turns = answers.get(id);
  if (turns !== undefined) return turns;
  throw new DataError(`${where}: expected answers to question ${id}, found none.`);
}

/** A turn with its rating; null where the judge gave none. */
export interface RatedTurn extends Omit<RatingTask, "messages" | "question" | "answers"> {
  rating: number | null;
}

/** A mean rating. */
export interface Score extends Statistic {
  /** Ratings in it. */
  ratings: number;
}

/** Ratings of a model. */
export interface RatingStatistics {
  overall: Score;
  perTurn: Record<string, Score>;
  /** Of each category: both turns together, and each. */
  perCategory: Record<string, { overall: Score; perTurn: Record<string, Score> }>;
  /** Turns without a rating. */
  unrated: number;
  /** Correlation of an answer's rating with its length. Better answers may rightly be longer. */
  lengthCorrelation: Statistic;
}

/** The statistics of rated turns; questions are what is resampled. */
export function ratingStatistics(
  rated: readonly RatedTurn[],
  bootstrap: BootstrapOptions = {},
): RatingStatistics {
  const known = rated.flatMap(({ rating, ...rest }) => (rating === null ? [] : [{ ...rest, rating }]));
  const turnsOf = (turns: readonly Known[]): Record<string, Score> =>
    Object.fromEntries(
      [1, 2].flatMap((turn) => {
        const some = turns.filter(({ turn: own }) => own === turn);
        return some.length === 0 ? [] : [[String(turn), scoreOf(some, bootstrap)]];
      }),
    );
  const categories = [...new Set(rated.flatMap(({ category }) => category ?? []))];
  return {
    overall: scoreOf(known, bootstrap),
    perTurn: turnsOf(known),
    perCategory: Object.fromEntries(
      categories.map((name) => {
        const some = known.filter(({ category }) => category === name);
        return [name, { overall: scoreOf(some, bootstrap), perTurn: turnsOf(some) }];
      }),
    ),
    unrated: rated.length - known.length,
    lengthCorrelation: correlationStatistic(
      known.map(({ id, length, rating }) => ({ id, x: length, y: rating })),
      bootstrap,
    ),
  };
}

type Known = RatedTurn & { rating: number };

function scoreOf(turns: readonly Known[], bootstrap: BootstrapOptions): Score {
  const questions = byQuestion(turns).map((group) => ({
    sum: group.reduce((sum, { rating }) => sum + rating, 0),
    count: group.length,
  }));
  return { ratings: turns.length, ...meanOverGroups(questions, bootstrap, { low: 1, high: 10 }) };
}
