/**
 * Answers, each written as soon as it is complete, a line each in MT-Bench's form, so that an interrupted run resumes. Each
 * line carries a hash of what the answer depends on (`answer_id`); answers of other settings are refused.
 */
import { FileError } from "../../base/errors.ts";
import { sha256 } from "../../base/files.ts";
import { JsonLinesWriter } from "../../runs/json-lines.ts";
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

/** A file that answers are added to. */
export class AnswerLog {
  readonly #writer: JsonLinesWriter;
  readonly #model: string;
  readonly #answers: Map<string, readonly string[]>;

  private constructor(writer: JsonLinesWriter, model: string, answers: Map<string, readonly string[]>) {
    this.#writer = writer;
    this.#model = model;
    this.#answers = answers;
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
    return new AnswerLog(writer, model, answers);
  }

  /** Answers so far, by question id. */
  get answers(): ReadonlyMap<string, readonly string[]> {
    return this.#answers;
  }

  /** Adds an answer. @throws {FileError} when it cannot be written */
  add(id: string, key: string, turns: readonly string[]): void {
    this.#writer.write({
      question_id: /^\d{1,15}$/.test(id) ? Number(id) : id,
      answer_id: key,
      model_id: this.#model,
      choices: [{ index: 0, turns }],
      tstamp: Date.now() / 1000,
    });
    this.#answers.set(id, turns);
  }

  close(): void {
    this.#writer.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
