/**
 * Answers of judges by what was asked, in an SQLite file: a question is paid for once, whatever interrupts the work.
 * Neither a kill nor a power cut loses what was put in: each answer is synced, which takes less than a judge does.
 */
import { dirname } from "node:path";
import process from "node:process";
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import { FileError, messageOf } from "../../base/errors.ts";
import { formatBytes, ignoreErrors } from "../../base/file-io.ts";
import { makeDirectory, sha256 } from "../../base/files.ts";
import { warn } from "../../base/warn.ts";
import type { ChatReply } from "../endpoint/chat-body.ts";

/** What is kept beside an answer, for people who look into the file. */
export interface JudgmentLabel {
  model: string;
  /** JSON of the messages. */
  messages: string;
}

/** What judgments cost, each counted once. */
export interface JudgmentCost {
  judgments: number;
  promptTokens: number;
  completionTokens: number;
  /** Judgments without a count of tokens. */
  uncounted: number;
}

/** SQLite's result codes for a file that is not a valid database, and for one whose tables have other names or columns. */
const SQLITE_ERROR = 1;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

const columns = [
  ...["key", "model", "messages", "text", "finish_reason"],
  ...["prompt_tokens", "completion_tokens", "time", "sha256"],
];

const selected =
  "SELECT text, finish_reason, prompt_tokens, completion_tokens, sha256 FROM judgments WHERE key = ?";

function replyOf(row: Readonly<Record<string, SQLOutputValue>>): ChatReply {
  const { text, finish_reason: reason, prompt_tokens: prompt, completion_tokens: completion } = row;
  const isCounted = prompt !== null && completion !== null;
  return {
    text: String(text),
    finishReason: reason === null ? null : String(reason),
    usage: isCounted ? { promptTokens: Number(prompt), completionTokens: Number(completion) } : null,
  };
}

/** Of what is used of an answer; what is kept for people is not in it. */
function digestOf(key: string, { text, finishReason, usage }: ChatReply): string {
  const { promptTokens = null, completionTokens = null } = usage ?? {};
  // halves of a character, which UTF-8 lacks, are read back as another one
  const texts = [text, finishReason].map((one) => one?.toWellFormed() ?? null);
  return sha256(JSON.stringify([key, ...texts, promptTokens, completionTokens]));
}

function digestOfUse(key: string, moment: number): string {
  return sha256(`${key} ${moment}`);
}

/** Answers by key. */
export class JudgmentStore {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #get: StatementSync;
  readonly #put: StatementSync;
  readonly #replace: StatementSync;
  /** Keys of answers that are not as they were written: what is put in takes their place. */
  readonly #damaged: Set<string> = new Set();

  /** @throws {FileError} when the file is no database of judgments or cannot be written */
  constructor(path: string) {
    this.#path = path;
    makeDirectory(dirname(path));
    try {
      // named here and not above: src/base/node-version.ts reports a Node without it, not a failing import
      const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
      this.#database = new DatabaseSync(path, { timeout: 10_000 });
      this.#database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
        CREATE TABLE IF NOT EXISTS judgments (
          key TEXT PRIMARY KEY, model TEXT NOT NULL, messages TEXT NOT NULL, text TEXT NOT NULL, finish_reason TEXT,
          prompt_tokens INTEGER, completion_tokens INTEGER, time TEXT NOT NULL, sha256 TEXT) STRICT;
        CREATE TABLE IF NOT EXISTS uses (key TEXT PRIMARY KEY, moment INTEGER NOT NULL) STRICT`);
      this.#addDigests();
      this.#checkUses();
      this.#get = this.#database.prepare(selected);
      const row = `(${columns}) VALUES (${columns.map(() => "?")})`;
      this.#put = this.#database.prepare(`INSERT OR IGNORE INTO judgments ${row}`);
      this.#replace = this.#database.prepare(`INSERT OR REPLACE INTO judgments ${row}`);
    } catch (error) {
      const failure = error instanceof FileError ? error : this.#failure(error, 0);
      ignoreErrors(() => this.#database.close());
      throw failure;
    }
  }

  /** What earlier versions kept has no digests: once it is taken as it is, and gets its own. */
  #addDigests(): void {
    const database = this.#database;
    const isDone = (): boolean =>
      Number(database.prepare("PRAGMA user_version").get()?.["user_version"]) >= 2;
    if (isDone()) return;
    database.exec("BEGIN IMMEDIATE");
    // another process may have been first
    if (!isDone()) {
      this.#addDigest("judgments", (key) =>
        digestOf(key, replyOf(database.prepare(selected).get(key) ?? {})),
      );
      const moment = database.prepare("SELECT moment FROM uses WHERE key = ?");
      this.#addDigest("uses", (key) => digestOfUse(key, Number(moment.get(key)?.["moment"])));
      database.exec("PRAGMA user_version = 2");
    }
    database.exec("COMMIT");
  }

  #addDigest(name: "judgments" | "uses", digest: (key: string) => string): void {
    const database = this.#database;
    const present = database.prepare(`PRAGMA table_info(${name})`).all();
    if (!present.some((column) => column["name"] === "sha256"))
      database.exec(`ALTER TABLE ${name} ADD COLUMN sha256 TEXT`);
    const put = database.prepare(`UPDATE ${name} SET sha256 = ? WHERE key = ?`);
    for (const { key } of database.prepare(`SELECT key FROM ${name} WHERE sha256 IS NULL`).all())
      put.run(digest(String(key)), String(key));
  }

  /** Where a use has changed since it was written, every answer that may be its own counts as used from the start. */
  #checkUses(): void {
    const changed = this.#database
      .prepare("SELECT rowid, key, moment, sha256 FROM uses")
      .all()
      .filter((row) => row["sha256"] !== digestOfUse(String(row["key"]), Number(row["moment"])));
    if (changed.length === 0) return;
    const remove = this.#database.prepare("DELETE FROM uses WHERE rowid = ?");
    for (const { rowid } of changed) remove.run(rowid ?? null);
    const without = "SELECT key FROM judgments WHERE key NOT IN (SELECT key FROM uses)";
    const keys = this.#database.prepare(without).all();
    this.noteUses(
      keys.map(({ key }) => String(key)),
      0,
    );
    warn(
      `${this.#path}: when judgments were used has changed since it was written (SHA-256): ${keys.length} of them count as spent from the first step on`,
    );
  }

  /** The answer kept under `key`, or null; null too for one that has changed since it was written. @throws {FileError} when the file is damaged */
  get(key: string): ChatReply | null {
    const row = this.#guard(() => this.#get.get(key));
    if (row === undefined) return null;
    const reply = replyOf(row);
    if (row["sha256"] === digestOf(key, reply)) return reply;
    this.#damaged.add(key);
    warn(`${this.#path}: judgments have changed since they were written (SHA-256): they are asked for again`);
    return null;
  }

  /** Keeps an answer; one that is there already and whole stays. @throws {FileError} when it cannot be written */
  put(key: string, { model, messages }: JudgmentLabel, reply: ChatReply): void {
    const { text, finishReason, usage } = reply;
    const { promptTokens = null, completionTokens = null } = usage ?? {};
    const time = new Date().toISOString();
    const row = [key, model, messages, text, finishReason, promptTokens, completionTokens, time];
    const statement = this.#damaged.has(key) ? this.#replace : this.#put;
    const bytes = Buffer.byteLength(text) + Buffer.byteLength(messages);
    this.#guard(() => statement.run(...row, digestOf(key, reply)), bytes);
    this.#damaged.delete(key);
  }

  /** Notes that the answers under `keys` were used at a moment of a run; the earliest one stays. @throws {FileError} as `put` */
  noteUses(keys: Iterable<string>, moment: number): void {
    this.#guard(() => {
      const note = this.#database.prepare(
        `INSERT INTO uses VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET moment = excluded.moment, sha256 = excluded.sha256
          WHERE excluded.moment < moment`,
      );
      this.#database.exec("BEGIN");
      for (const key of keys) note.run(key, moment, digestOfUse(key, moment));
      this.#database.exec("COMMIT");
    });
  }

  /**
   * What the answers cost that were first used before `moment`, and of other moments (those whose remainder by
   * `modulo` is below `below`) before `others`.
   *
   * @throws {FileError} when the file is damaged
   */
  costBefore(
    moment: number,
    { modulo, below, others }: { modulo: number; below: number; others: number },
  ): JudgmentCost {
    const sums = this.#guard(() =>
      this.#database
        .prepare(
          `SELECT count(*) AS judgments, total(prompt_tokens) AS prompt, total(completion_tokens) AS completion,
            total(prompt_tokens IS NULL OR completion_tokens IS NULL) AS uncounted
            FROM judgments JOIN uses USING (key) WHERE moment < ? AND (moment % ? >= ? OR moment < ?)`,
        )
        .get(moment, modulo, below, others),
    );
    return {
      judgments: Number(sums?.["judgments"]),
      promptTokens: Number(sums?.["prompt"]),
      completionTokens: Number(sums?.["completion"]),
      uncounted: Number(sums?.["uncounted"]),
    };
  }

  /** Closes the file. Closing twice is harmless. */
  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #guard<T>(action: () => T, bytes = 0): T {
    try {
      return action();
    } catch (error) {
      throw this.#failure(error, bytes);
    }
  }

  #failure(error: unknown, bytes: number): FileError {
    const code = ((error as { errcode?: number }).errcode ?? 0) & 255;
    const isDamaged = [SQLITE_ERROR, SQLITE_CORRUPT, SQLITE_NOTADB].includes(code);
    const needed = bytes > 0 ? `, ${bytes} bytes (${formatBytes(bytes)}) are needed` : "";
    const remedy = isDamaged
      ? "It is damaged: move it away; judgments in it are asked for again."
      : `Judgments in it are kept. Free space under ${dirname(this.#path)} or choose another --output, then run the command again.`;
    return new FileError(
      `${this.#path}: expected to keep judgments in this SQLite file, but: ${messageOf(error)}${needed}. ${remedy}`,
      { cause: error },
    );
  }
}
