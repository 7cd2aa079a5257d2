/** What the list knows of each run between two starts of the dashboard: an index that can be deleted at any time. */
import type { DatabaseSync } from "node:sqlite";
import { ignoreErrors, io } from "../base/file-io.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { parsed, type SavedSummary } from "./run-summary.ts";

/** The index, a row a run. */
export class SummaryFile {
  readonly #db: DatabaseSync;

  /** Opens the file at `path`; one that is damaged or of another program is replaced. */
  constructor(path: string) {
    this.#db = opened(path);
  }

  /** What was kept of the run at `dir`; null for nothing. */
  saved(dir: string): SavedSummary | null {
    const row = this.#db.prepare("SELECT summary FROM runs WHERE dir = ?").get(dir);
    return row === undefined ? null : (parsed(String(row["summary"])) as SavedSummary | null);
  }

  /** Keeps what is known of the run at `dir`. */
  save(dir: string, summary: SavedSummary): void {
    this.#db.prepare("INSERT OR REPLACE INTO runs VALUES (?, ?)").run(dir, stringifyNumbers(summary));
  }

  /** Closes the file. */
  close(): void {
    this.#db.close();
  }
}

function opened(path: string): DatabaseSync {
  try {
    return prepared(path);
  } catch {
    for (const end of ["", "-wal", "-shm"]) ignoreErrors(() => io.rmSync(`${path}${end}`));
    return prepared(path);
  }
}

function prepared(path: string): DatabaseSync {
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
  const db = new DatabaseSync(path);
  // what is lost by a power cut is read again from the runs
  db.exec(
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE IF NOT EXISTS runs (dir TEXT PRIMARY KEY, summary TEXT NOT NULL)",
  );
  db.prepare("SELECT dir, summary FROM runs LIMIT 1").get();
  return db;
}
