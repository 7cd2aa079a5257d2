/**
 * Answers of judges by what was asked, in an SQLite file: a question is paid for once, whatever interrupts the work.
 * A kill loses nothing that was put in; a power cut may lose the last few.
 */
import { dirname } from "node:path";
import process from "node:process";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { FileError, messageOf } from "../base/errors.ts";
import { makeDirectories } from "../base/file-io.ts";
import type { ChatReply } from "./chat-body.ts";

/** What is kept beside an answer, for people who look into the file. */
export interface JudgmentLabel {
  model: string;
  /** JSON of the messages. */
  messages: string;
}

/** Answers by key. */
export class JudgmentStore {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #get: StatementSync;
  readonly #put: StatementSync;

  /** @throws {FileError} when the file is no database of judgments or cannot be written */
  constructor(path: string) {
    this.#path = path;
    try {
      makeDirectories(dirname(path));
      // named here and not above: a Node without it is told of by src/base/node-version.ts, not by a failing import
      const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
      this.#database = new DatabaseSync(path, { timeout: 10_000 });
      this.#database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
        CREATE TABLE IF NOT EXISTS judgments (
          key TEXT PRIMARY KEY, model TEXT NOT NULL, messages TEXT NOT NULL, text TEXT NOT NULL, finish_reason TEXT,
          prompt_tokens INTEGER, completion_tokens INTEGER, time TEXT NOT NULL) STRICT`);
      this.#get = this.#database.prepare(
        "SELECT text, finish_reason, prompt_tokens, completion_tokens FROM judgments WHERE key = ?",
      );
      this.#put = this.#database.prepare("INSERT OR IGNORE INTO judgments VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** The answer kept under `key`, or null. @throws {FileError} when the file is damaged */
  get(key: string): ChatReply | null {
    const row = this.#guard(() => this.#get.get(key));
    if (row === undefined) return null;
    const { text, finish_reason: reason, prompt_tokens: prompt, completion_tokens: completion } = row;
    const isCounted = prompt !== null && completion !== null;
    return {
      text: String(text),
      finishReason: reason === null ? null : String(reason),
      usage: isCounted ? { promptTokens: Number(prompt), completionTokens: Number(completion) } : null,
    };
  }

  /** Keeps an answer; one that is there already stays. @throws {FileError} when it cannot be written */
  put(key: string, label: JudgmentLabel, reply: ChatReply): void {
    const { text, finishReason, usage } = reply;
    const { promptTokens = null, completionTokens = null } = usage ?? {};
    const time = new Date().toISOString();
    this.#guard(() =>
      this.#put.run(
        key,
        label.model,
        label.messages,
        text,
        finishReason,
        promptTokens,
        completionTokens,
        time,
      ),
    );
  }

  /** Closes the file. */
  close(): void {
    this.#database.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #guard<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #failure(error: unknown): FileError {
    return new FileError(
      `${this.#path}: expected to keep judgments in this SQLite file, but: ${messageOf(error)}. ` +
        `If it is damaged, move it away; judgments in it are asked for again.`,
      { cause: error },
    );
  }
}
