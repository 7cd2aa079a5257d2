/**
 * Answers, each written as soon as it is complete, a line each in MT-Bench's form, so that an interrupted run resumes. Each
 * line carries a hash of what the answer depends on (`answer_id`); answers of other settings are refused.
 */
import { existsSync } from "node:fs";
import { FileError } from "../../base/errors.ts";
import { remove, sha256 } from "../../base/files.ts";
import { JsonLinesWriter, readJsonLines } from "../../runs/json-lines.ts";
import { readAnswerFile } from "./answer-rows.ts";
import type { Question } from "./questions.ts";

/** What an answer depends on besides the question. */
export interface AnswerSettings {
  /** The model's fingerprint, or an endpoint's address and model. */
  identity: string;
  temperature: number;
  maxTokens: number;
  /** Random seed of a local model. */
  seed: number;
  /** Chat template and the like, further fields of requests. */
  further: Readonly<Record<string, unknown>>;
}

/** Hash of a question and of what its answer depends on. */
export function answerKey({ messages, followUps }: Question, settings: AnswerSettings): string {
  return sha256(JSON.stringify({ version: 1, messages, followUps, ...settings })).slice(0, 32);
}

/** The first turns of questions of several, in a file beside the answers: they are paid for before the last one is there. */
class FirstTurns {
  readonly turns: Map<string, readonly string[]> = new Map();
  readonly #path: string;
  #writer: JsonLinesWriter | null = null;

  constructor(answersPath: string, keys: ReadonlyMap<string, string>) {
    this.#path = `${answersPath}.begun`;
    for (const { value } of existsSync(this.#path) ? readJsonLines(this.#path) : []) {
      const { question_id: id, answer_id: key, turns } = value as Record<string, unknown>;
      if (typeof id !== "string" || keys.get(id) !== key || !Array.isArray(turns)) continue;
      this.turns.set(id, turns.map(String));
    }
  }

  add(id: string, key: string, turns: readonly string[]): void {
    this.#writer ??= new JsonLinesWriter(this.#path);
    this.#writer.write({ question_id: id, answer_id: key, turns });
  }

  close(isNeeded: boolean): void {
    this.#writer?.close();
    this.#writer = null;
    if (!isNeeded && existsSync(this.#path)) remove(this.#path);
  }
}

/** A number where the number alone says the same, as MT-Bench's own files have it: "007" is another id than 7. */
function idToWrite(id: string): string | number {
  return /^\d{1,15}$/.test(id) && String(Number(id)) === id ? Number(id) : id;
}

/** A file that answers are added to. */
export class AnswerLog {
  readonly #writer: JsonLinesWriter;
  readonly #model: string;
  readonly #keys: ReadonlyMap<string, string>;
  readonly #answers: Map<string, readonly string[]>;
  readonly #first: FirstTurns;

  private constructor(
    writer: JsonLinesWriter,
    model: string,
    keys: ReadonlyMap<string, string>,
    answers: Map<string, readonly string[]>,
  ) {
    this.#writer = writer;
    this.#model = model;
    this.#keys = keys;
    this.#answers = answers;
    this.#first = new FirstTurns(writer.path, keys);
  }

  /**
   * Opens the file of `model`'s answers, with those that are there already. A line torn by a crash is removed.
   *
   * @param keys - by question id
   * @throws {FileError} when it holds answers of other settings
   */
  static async open(path: string, model: string, keys: ReadonlyMap<string, string>): Promise<AnswerLog> {
    const writer = new JsonLinesWriter(path);
    const answers = new Map<string, readonly string[]>();
    for (const row of writer.isEmpty() ? [] : (await readAnswerFile(path)).rows) {
      const wanted = keys.get(row.id ?? "");
      if (wanted === undefined) continue;
      if (wanted !== row.madeWith) {
        writer.close();
        throw new FileError(
          `${row.where}: expected an answer to question ${row.id} made with the same model, question and settings, ` +
            `got one made with other settings. Choose another --output, or move the file away.`,
        );
      }
      answers.set(row.id ?? "", row.turns);
    }
    return new AnswerLog(writer, model, keys, answers);
  }

  /** Answers so far, by question id. */
  get answers(): ReadonlyMap<string, readonly string[]> {
    return this.#answers;
  }

  /** The turns of a question that was not answered to its end; none of others. */
  firstTurns(id: string): readonly string[] {
    return this.#first.turns.get(id) ?? [];
  }

  /** Keeps the turns of a question so far, until its answer is complete. @throws {FileError} when they cannot be written */
  keep(id: string, key: string, turns: readonly string[]): void {
    this.#first.add(id, key, turns);
  }

  /** Adds an answer. @throws {FileError} when it cannot be written */
  add(id: string, key: string, turns: readonly string[]): void {
    this.#writer.write({
      question_id: idToWrite(id),
      answer_id: key,
      model_id: this.#model,
      choices: [{ index: 0, turns }],
      tstamp: Date.now() / 1000,
    });
    this.#answers.set(id, turns);
  }

  close(): void {
    this.#writer.close();
    this.#first.close([...this.#keys.keys()].some((id) => !this.#answers.has(id)));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
