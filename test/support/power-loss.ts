/**
 * Power cuts: what is written through `io` below a directory is logged, and from each prefix of the log the states are made in
 * which a cut may leave the disk. What was not synced may be there, missing, torn or zeros; entries of directories that were not
 * synced may be there or not, in any combination. A rename is there or not, never half.
 */
import { createHash } from "node:crypto";
import { fstatSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type FileIo, io } from "../../src/base/file-io.ts";
import type { Random } from "../../src/base/random.ts";

/** One thing that was done. */
export type Op =
  | { kind: "mkdir"; path: string }
  | { kind: "create"; path: string }
  | { kind: "remove"; path: string }
  | { kind: "write"; path: string; at: number; data: Buffer }
  | { kind: "truncate"; path: string; bytes: number }
  | { kind: "sync"; path: string }
  | { kind: "rename"; from: string; to: string };

type FileOp = Extract<Op, { kind: "write" | "truncate" | "sync" }>;

/** A log of what was done; `using` ends it. */
export interface WriteLog extends Disposable {
  ops: Op[];
}

/** Logs what is written below `root`. Paths in the log are relative to it. */
export function logWrites(root: string): WriteLog {
  const original = { ...io };
  const ops: Op[] = [];
  const open = new Map<number, string>();
  const inside = (path: string): string | null =>
    path === root ? "." : path.startsWith(`${root}/`) ? path.slice(root.length + 1) : null;
  const note = (op: Op): void => void ops.push(op);
  const logged: FileIo = {
    ...original,
    openSync(path, flags) {
      const name = inside(path);
      const isNew = name !== null && flags !== "r" && statSync(path, { throwIfNoEntry: false }) === undefined;
      const fd = original.openSync(path, flags);
      if (name !== null) open.set(fd, name);
      if (isNew) note({ kind: "create", path: name as string });
      else if (name !== null && flags.startsWith("w")) note({ kind: "truncate", path: name, bytes: 0 });
      return fd;
    },
    writeSync(fd, bytes, offset, length) {
      const path = open.get(fd);
      const at = path === undefined ? 0 : fstatSync(fd).size;
      const written = original.writeSync(fd, bytes, offset, length);
      // all that is written here is written at the end
      if (path !== undefined)
        note({ kind: "write", path, at, data: Buffer.from(bytes.subarray(offset, offset + written)) });
      return written;
    },
    fsyncSync(fd) {
      original.fsyncSync(fd);
      const path = open.get(fd);
      if (path !== undefined) note({ kind: "sync", path });
    },
    ftruncateSync(fd, bytes) {
      original.ftruncateSync(fd, bytes);
      const path = open.get(fd);
      if (path !== undefined) note({ kind: "truncate", path, bytes });
    },
    closeSync(fd) {
      original.closeSync(fd);
      open.delete(fd);
    },
    renameSync(from, to) {
      original.renameSync(from, to);
      const [a, b] = [inside(from), inside(to)];
      if (a === null || b === null) return;
      note({ kind: "rename", from: a, to: b });
      for (const [fd, path] of open)
        if (path === a || path.startsWith(`${a}/`)) open.set(fd, b + path.slice(a.length));
    },
    mkdirSync(path) {
      original.mkdirSync(path);
      const name = inside(path);
      if (name !== null) note({ kind: "mkdir", path: name });
    },
    rmSync(path) {
      const name = inside(path);
      if (name !== null) for (const each of leavesFirst(path, name)) note({ kind: "remove", path: each });
      original.rmSync(path);
    },
  };
  Object.assign(io, logged);
  return { ops, [Symbol.dispose]: () => void Object.assign(io, original) };
}

/** What removing `path` removes, in the order in which it must. */
function leavesFirst(path: string, name: string): string[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return [];
  if (!stat.isDirectory()) return [name];
  const below = readdirSync(path).flatMap((child) => leavesFirst(join(path, child), join(name, child)));
  return [...below, name];
}

/** A file: what is safe, and what has been written to it since. */
class FileNode {
  safe: Buffer = Buffer.alloc(0);
  pending: ({ at: number; data: Buffer } | { bytes: number })[] = [];
}

type Entries = Map<string, Node>;
/** A change of entries, made all at once or not at all. */
type Change = { unset: string[]; set: [string, Node][] };

/** A directory: its safe entries, changes since, and how it looks with all of them. */
class DirectoryNode {
  safe: Entries = new Map();
  pending: Change[] = [];
  now: Entries = new Map();

  change(change: Change): void {
    this.pending.push(change);
    apply(this.now, change);
  }
}

type Node = FileNode | DirectoryNode;

function apply(entries: Entries, { unset, set }: Change): void {
  for (const name of unset) entries.delete(name);
  for (const [name, node] of set) entries.set(name, node);
}

/** What becomes of what was not synced. Gets how many changes there are; says of each whether it is there. */
export interface Fate {
  entries: (count: number) => boolean[];
  /** `torn`: the first half of it; `zeros`: its length without its content. */
  data: (count: number) => ("there" | "missing" | "torn" | "zeros")[];
}

const all =
  <T>(value: T) =>
  (count: number): T[] =>
    Array.from({ length: count }, () => value);

/** The fates that a prefix is tried with. */
export function fates(random: Random, shuffles: number): Fate[] {
  const pick =
    <T>(values: readonly T[]) =>
    (count: number): T[] =>
      Array.from({ length: count }, () => values[random.below(values.length)] as T);
  const tearLast = (count: number): ("there" | "torn")[] =>
    Array.from({ length: count }, (_, i) => (i === count - 1 ? "torn" : "there"));
  return [
    { entries: all(false), data: all("missing") },
    { entries: all(true), data: all("there") },
    { entries: all(true), data: all("missing") },
    { entries: all(false), data: all("there") },
    { entries: all(true), data: tearLast },
    { entries: all(true), data: all("zeros") },
    ...Array.from(
      { length: shuffles },
      (): Fate => ({
        entries: pick([true, false]),
        data: pick(["there", "missing", "torn", "zeros"] as const),
      }),
    ),
  ];
}

/** Contents of files by path; null for a directory. */
export type DiskState = Map<string, Buffer | null>;

/** A disk that the operations of a log are done on, one after another. */
export class Disk {
  readonly #root: DirectoryNode = new DirectoryNode();

  do(op: Op): void {
    if (op.kind === "rename") {
      const node = this.#node(op.from);
      const [from, to] = [this.#parent(op.from), this.#parent(op.to)];
      if (node === undefined || from !== to) throw new Error(`rename of ${op.from} to another directory`);
      to.change({ unset: [basename(op.from)], set: [[basename(op.to), node]] });
    } else if (op.kind === "mkdir" || op.kind === "create") {
      const node = op.kind === "mkdir" ? new DirectoryNode() : new FileNode();
      this.#parent(op.path).change({ unset: [], set: [[basename(op.path), node]] });
    } else if (op.kind === "remove") {
      this.#parent(op.path).change({ unset: [basename(op.path)], set: [] });
    } else this.#toNode(op);
  }

  #toNode(op: FileOp): void {
    const node = this.#node(op.path);
    if (node instanceof DirectoryNode) {
      // only directories are synced
      node.safe = new Map(node.now);
      node.pending = [];
    } else if (node !== undefined && op.kind === "sync") {
      node.safe = contentOf(node, all("there"));
      node.pending = [];
    } else if (node !== undefined && op.kind !== "sync") node.pending.push(op);
  }

  /** The disk after a power cut now. */
  cut(fate: Fate): DiskState {
    const state: DiskState = new Map();
    const visit = (path: string, node: Node): void => {
      if (node instanceof FileNode) {
        state.set(path, contentOf(node, fate.data));
        return;
      }
      if (path !== "") state.set(path, null);
      const entries = new Map(node.safe);
      const happened = fate.entries(node.pending.length);
      for (const [i, change] of node.pending.entries()) if (happened[i] === true) apply(entries, change);
      for (const [name, child] of entries) visit(path === "" ? name : `${path}/${name}`, child);
    };
    visit("", this.#root);
    return state;
  }

  #node(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const part of path === "." ? [] : path.split("/"))
      node = node instanceof DirectoryNode ? node.now.get(part) : undefined;
    return node;
  }

  #parent(path: string): DirectoryNode {
    const node = this.#node(dirname(path));
    if (node instanceof DirectoryNode) return node;
    throw new Error(`${path} is in no directory`);
  }
}

function contentOf(node: FileNode, data: Fate["data"]): Buffer {
  let content = node.safe;
  const fates = data(node.pending.length);
  for (const [i, change] of node.pending.entries()) {
    const fate = fates[i];
    if (fate === "missing") continue;
    if ("bytes" in change) {
      content = Buffer.concat([content], change.bytes);
      continue;
    }
    const written = fate === "torn" ? change.data.subarray(0, change.data.length >> 1) : change.data;
    const end = Math.max(content.length, change.at + written.length);
    const next = Buffer.alloc(end);
    content.copy(next);
    if (fate === "zeros") next.fill(0, change.at, change.at + written.length);
    else written.copy(next, change.at);
    content = next;
  }
  return content;
}

/** Tells one state from another. */
export function stateKey(state: DiskState): string {
  const hash = createHash("sha256");
  for (const [path, content] of [...state].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${path}\0${content === null ? "/" : content.length}\0`);
    if (content !== null) hash.update(content);
  }
  return hash.digest("hex");
}

/** Makes `dir`, which must not exist, hold a state. */
export function writeState(dir: string, state: DiskState): void {
  mkdirSync(dir);
  for (const [path, content] of state) {
    if (content === null) mkdirSync(join(dir, path));
    else writeFileSync(join(dir, path), content);
  }
}
