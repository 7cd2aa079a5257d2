/**
 * What is to be labelled and what was, in one SQLite file. The log of events is only added to, each event with a key of its own:
 * what is sent twice, by a second tab or after a crash, is there once. An event is synced before its answer is given.
 */
import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import process from "node:process";
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { DataError, FileError, messageOf } from "../base/errors.ts";
import { ignoreErrors } from "../base/file-io.ts";
import { makeDirectory, sha256 } from "../base/files.ts";
import { parseWritten } from "../text/json.ts";
import { type Comparison, inOrder, itemIdOf } from "./comparison.ts";
import { type EventBodies, type LabelEvent, LabelState, type PersonKind } from "./label-events.ts";

/** An item as it is kept. */
export interface Item {
  id: string;
  comparison: Comparison;
}

/** What became of comparisons that were added. */
export interface Added {
  items: number;
  /** Those that were there before: the same prompt, answers, tools and `chat_template_kwargs`. */
  known: number;
  votes: number;
}

/** An event to add. */
export interface NewEvent<K extends keyof EventBodies = keyof EventBodies> {
  kind: K;
  person: string;
  item?: string;
  showing?: string;
  /** Its own: a second event of the key is not added. Default: a new one. */
  key?: string;
  body: EventBodies[K];
}

const schema = `PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS items (
    id TEXT PRIMARY KEY, place TEXT NOT NULL, content TEXT NOT NULL, hidden TEXT NOT NULL) STRICT;
  CREATE INDEX IF NOT EXISTS items_by_place ON items (place);
  CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, time TEXT NOT NULL, kind TEXT NOT NULL,
    person TEXT NOT NULL, item TEXT NOT NULL, showing TEXT NOT NULL, body TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT`;

/** The name of votes whose file does not say who gave them. */
const fileVoter = "(the file)";

/** How many are written in one transaction, and ms between two of them. */
const batchSize = 1000;
const pauseMs = 25;

/** Items and events. */
export class LabelStore {
  readonly path: string;
  readonly #database: DatabaseSync;
  readonly #statements: Map<string, StatementSync> = new Map();
  #state: LabelState = new LabelState();
  #isInTransaction = false;
  #order: readonly string[] | null = null;

  readonly #newSalt: string;
  /** Null until it is read. */
  #knownSalt: string | null = null;

  /**
   * @param newSalt - what the order of items is drawn by in a store that is new; left out: at random
   * @throws {FileError} when the file is no database or cannot be written
   */
  constructor(path: string, newSalt: string = randomBytes(8).toString("hex")) {
    this.path = path;
    this.#newSalt = newSalt;
    makeDirectory(dirname(path));
    try {
      // named here and not above: src/base/node-version.ts reports a Node without it, not a failing import
      const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
      this.#database = new DatabaseSync(path, { timeout: 10_000 });
      this.#database.exec(schema);
    } catch (error) {
      const failure = this.#failure(error);
      ignoreErrors(() => this.#database.close());
      throw failure;
    }
  }

  /** Adds comparisons with the votes that came with them. Adding them again changes nothing, and continues what was cut short. */
  add(comparisons: readonly Comparison[]): Added {
    const added: Added = { items: 0, known: 0, votes: 0 };
    this.forEach(comparisons, (given) => {
      const comparison = inOrder(given);
      const id = itemIdOf(comparison);
      const { prompt, answers, models, extra, votes } = comparison;
      const { changes } = this.#run(
        "INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?)",
        id,
        sha256(`${this.#salt()} ${id}`),
        JSON.stringify({ prompt, answers }),
        JSON.stringify({ models, extra }),
      );
      if (Number(changes) === 1) added.items++;
      else {
        added.known++;
        this.#nameModels(id, models);
      }
      for (const vote of votes) if (this.#addGiven(id, vote)) added.votes++;
    });
    return added;
  }

  /** Items in the order in which they are shown: drawn once, and the same for everybody, so that people meet on the same items. */
  get order(): readonly string[] {
    const count = Number(this.#all("SELECT count(*) AS count FROM items")[0]?.["count"]);
    if (this.#order?.length !== count)
      this.#order = this.#all("SELECT id FROM items ORDER BY place").map(({ id }) => String(id));
    return this.#order;
  }

  /** @throws {DataError} for an unknown item */
  item(id: string): Item {
    const [row] = this.#all("SELECT content, hidden FROM items WHERE id = ?", id);
    if (row === undefined) throw new DataError(`expected an item of this workbench, got ${id}.`);
    const content = parseWritten(String(row["content"])) as Pick<Comparison, "prompt" | "answers">;
    const hidden = parseWritten(String(row["hidden"])) as Pick<Comparison, "models" | "extra">;
    return { id, comparison: { ...content, ...hidden, votes: [] } };
  }

  /** The state after all events, those of other processes too. */
  state(): LabelState {
    const rows = this.#all("SELECT * FROM events WHERE seq > ? ORDER BY seq", this.#state.seq);
    for (const row of rows) {
      this.#state.apply({ ...row, body: JSON.parse(String(row["body"])) } as unknown as LabelEvent);
    }
    return this.#state;
  }

  /** Adds an event unless its key is there. @returns whether it was added */
  append<K extends keyof EventBodies>(event: NewEvent<K>): boolean {
    const { kind, person, item = "", showing = "", key = randomBytes(12).toString("hex"), body } = event;
    const time = new Date().toISOString();
    const { changes } = this.#run(
      "INSERT OR IGNORE INTO events (key, time, kind, person, item, showing, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
      ...[key, time, kind, person, item, showing, JSON.stringify(body)],
    );
    return Number(changes) === 1;
  }

  /** Whether there is an event of this key. */
  has(key: string): boolean {
    return this.#all("SELECT 1 FROM events WHERE key = ?", key).length > 0;
  }

  /** Tells this workbench from others. */
  get id(): string {
    return sha256(`workbench ${this.#salt()}`).slice(0, 16);
  }

  /** Names somebody who judges, unless the name is known. */
  addPerson(person: string, kind: PersonKind): void {
    this.append({ kind: "person", person, key: `person ${person}`, body: { kind } });
  }

  /** All or nothing, and nobody else's events in between. Within another one it is part of that. */
  transaction<T>(action: () => T): T {
    if (this.#isInTransaction) return action();
    this.#guard(() => this.#database.exec("BEGIN IMMEDIATE"));
    this.#isInTransaction = true;
    try {
      const result = action();
      this.#guard(() => this.#database.exec("COMMIT"));
      return result;
    } catch (error) {
      ignoreErrors(() => this.#database.exec("ROLLBACK"));
      // what was read within is of events that are gone, and whose numbers the next ones get
      this.#state = new LabelState();
      this.#order = null;
      this.#knownSalt = null;
      throw error;
    } finally {
      this.#isInTransaction = false;
    }
  }

  /**
   * Calls `action` with each of many in transactions of a thousand: others who write wait for one of them, not for all. What was
   * done before a failure stays. Within a transaction it is part of that.
   */
  forEach<T>(many: readonly T[], action: (one: T) => void): void {
    for (let from = 0; from < many.length; from += batchSize) {
      // others look again and again whether the file is free: without a pause they would hardly meet the moment in which it is
      if (from > 0 && !this.#isInTransaction)
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
      this.transaction(() => many.slice(from, from + batchSize).forEach(action));
    }
  }

  /** Closes the file. Closing twice is harmless. */
  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #addGiven(item: string, { person, choice }: Comparison["votes"][number]): boolean {
    const name = person ?? fileVoter;
    this.addPerson(name, person === null ? "file" : "person");
    const body = { verdict: choice, strength: 1, ms: null } as const;
    // with the choice: rows of a file that contradict each other are two judgments, and a conflict
    return this.append({ kind: "vote", person: name, item, key: `given ${item} ${choice} ${name}`, body });
  }

  /** Keeps who wrote the answers of an item that is known, where that was not. */
  #nameModels(id: string, [a, b]: Comparison["models"]): void {
    const { models, extra } = this.item(id).comparison;
    const named = [models[0] ?? a, models[1] ?? b];
    if (named[0] !== models[0] || named[1] !== models[1])
      this.#run("UPDATE items SET hidden = ? WHERE id = ?", JSON.stringify({ models: named, extra }), id);
  }

  /** What the order of items is drawn by. */
  #salt(): string {
    if (this.#knownSalt === null) {
      this.#run("INSERT OR IGNORE INTO settings VALUES ('salt', ?)", this.#newSalt);
      this.#knownSalt = String(this.#all("SELECT value FROM settings WHERE name = 'salt'")[0]?.["value"]);
    }
    return this.#knownSalt;
  }

  #all(sql: string, ...values: SQLInputValue[]): Record<string, unknown>[] {
    return this.#guard(() => this.#statement(sql).all(...values));
  }

  #run(sql: string, ...values: SQLInputValue[]): { changes: number | bigint } {
    return this.#guard(() => this.#statement(sql).run(...values));
  }

  #statement(sql: string): StatementSync {
    const statement = this.#statements.get(sql) ?? this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
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
      `${this.path}: expected to keep labels in this SQLite file, but: ${messageOf(error)}. What was labelled before is kept. ` +
        `Free space under ${dirname(this.path)}, or move the file away if it is damaged.`,
      { cause: error },
    );
  }
}
