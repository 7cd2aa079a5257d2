/**
 * Answers, each written as soon as it is complete, a line each in MT-Bench's form, so that an interrupted run resumes. Each
 * line carries a hash of what the answer depends on (`answer_id`); answers of other settings are refused.
 */
import { existsSync } from "node:fs";
import { FileError } from "../../base/errors.ts";
import { remove, sha256 } from "../../base/files.ts";
import { JsonLinesWriter, readJsonLines } from "../../runs/json-lines.ts";
import { numberOf } from "../../text/json-number.ts";
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

/** Answers to the turns of a question. */
export interface AnsweredTurns {
  turns: readonly string[];
  /** How many of them ended at the token limit. */
  cut: number;
}

/** The first turns of questions of several, in a file beside the answers: they are paid for before the last one is there. */
class FirstTurns {
  readonly answered: Map<string, AnsweredTurns> = new Map();
  readonly #path: string;
  #writer: JsonLinesWriter | null = null;

  constructor(answersPath: string, keys: ReadonlyMap<string, string>) {
    this.#path = `${answersPath}.begun`;
    for (const { value } of existsSync(this.#path) ? readJsonLines(this.#path) : []) {
      const { question_id: id, answer_id: key, turns, cut } = value as Record<string, unknown>;
      if (typeof id !== "string" || keys.get(id) !== key || !Array.isArray(turns)) continue;
      this.answered.set(id, { turns: turns.map(String), cut: numberOf(cut) ?? 0 });
    }
  }

  add(id: string, key: string, answered: AnsweredTurns): void {
    this.#writer ??= new JsonLinesWriter(this.#path);
    this.#writer.write({ question_id: id, answer_id: key, ...answered });
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
  readonly #answers: Map<string, readonly string[]> = new Map();
  readonly #first: FirstTurns;
  /** Questions that an earlier run has noted as refused. */
  readonly #refused: Set<string> = new Set();
  #cut = 0;

  private constructor(writer: JsonLinesWriter, model: string, keys: ReadonlyMap<string, string>) {
    this.#writer = writer;
    this.#model = model;
    this.#keys = keys;
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
    const log = new AnswerLog(writer, model, keys);
    if (writer.isEmpty()) return log;
    const file = await readAnswerFile(path);
    for (const [id, key] of file.refused) if (keys.get(id) === key) log.#refused.add(id);
    for (const row of file.rows) {
      const wanted = keys.get(row.id ?? "");
      if (wanted === undefined) continue;
      if (wanted !== row.madeWith) {
        writer.close();
        throw new FileError(
          `${row.where}: expected an answer to question ${row.id} made with the same model, question and settings, ` +
            `got one made with other settings. Choose another --output, or move the file away.`,
        );
      }
      log.#take(row.id ?? "", row);
    }
    return log;
  }

  #take(id: string, { turns, cut }: AnsweredTurns): void {
    this.#answers.set(id, turns);
    this.#cut += cut;
  }

  /** Answers so far, by question id. */
  get answers(): ReadonlyMap<string, readonly string[]> {
    return this.#answers;
  }

  /** Answers among them that ended at the token limit, as far as they say. */
  get cut(): number {
    return this.#cut;
  }

  /** The turns of a question that was not answered to its end; none of others. */
  firstTurns(id: string): AnsweredTurns {
    return this.#first.answered.get(id) ?? { turns: [], cut: 0 };
  }

  /** Keeps the turns of a question so far, until its answer is complete. @throws {FileError} when they cannot be written */
  keep(id: string, key: string, answered: AnsweredTurns): void {
    this.#first.add(id, key, answered);
  }

  /** Adds an answer. @throws {FileError} when it cannot be written */
  add(id: string, key: string, { turns, cut }: AnsweredTurns): void {
    this.#writer.write({
      question_id: idToWrite(id),
      answer_id: key,
      model_id: this.#model,
      choices: [{ index: 0, turns }],
      ...(cut > 0 ? { cut } : {}),
      tstamp: Date.now() / 1000,
    });
    this.#take(id, { turns, cut });
  }

  /** Notes that an endpoint refused a question, so that who is given the file knows. @throws {FileError} when it cannot be written */
  addRefused(id: string, key: string, refused: string): void {
    if (this.#refused.has(id)) return;
    this.#writer.write({
      ...{ question_id: idToWrite(id), answer_id: key, model_id: this.#model },
      ...{ refused, choices: [], tstamp: Date.now() / 1000 },
    });
    this.#refused.add(id);
  }

  close(): void {
    this.#writer.close();
    this.#first.close([...this.#keys.keys()].some((id) => !this.#answers.has(id)));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
