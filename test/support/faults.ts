/** Makes system calls of `io` fail on purpose: the n-th once, or all from the n-th on as on a disk that stays full. */
import { type FileIo, io } from "../../src/base/file-io.ts";

/** A system call that was made while faults were armed. */
export interface Call {
  name: keyof FileIo;
  /** Of calls on an open file the path it was opened by. */
  path: string | null;
}

/** Which calls fail. */
export interface Fault {
  code: "ENOSPC" | "EIO" | "EDQUOT" | "EROFS" | "EMFILE" | "EPERM";
  /** The 1-based number of the first call that fails, among those of `names`. */
  at: number;
  /** Calls that count; default all. */
  names?: readonly (keyof FileIo)[];
  /** Only calls on paths that match count. */
  on?: RegExp;
  /** Calls after the first fail too. */
  stays?: boolean;
}

/** What happened while faults were armed. `using` puts the system calls back. */
export interface Faults extends Disposable {
  /** Calls that count, failed ones included. */
  calls: Call[];
  /** Those that were made to fail. */
  failed: Call[];
}

/** Every call that changes something, or makes a change last. */
export const changingCalls: readonly (keyof FileIo)[] = [
  "openSync",
  "writeSync",
  "fsyncSync",
  "closeSync",
  "ftruncateSync",
  "renameSync",
  "mkdirSync",
  "rmSync",
  "symlinkSync",
  "linkSync",
  "utimesSync",
];

/** Arms a fault. */
export function armFault(fault: Fault): Faults {
  const { code, at, names = Object.keys(io) as (keyof FileIo)[], on = /^/, stays = false } = fault;
  const original = { ...io };
  const open = new Map<unknown, string>();
  const calls: Call[] = [];
  const failed: Call[] = [];
  const meet = (name: keyof FileIo, path: string | null): Error | null => {
    if (!names.includes(name) || !on.test(path ?? "")) return null;
    calls.push({ name, path });
    if (calls.length !== at && !(stays && calls.length > at)) return null;
    failed.push({ name, path });
    return systemError(code, name, path);
  };
  for (const name of Object.keys(io) as (keyof FileIo)[]) {
    const call = original[name] as (...args: unknown[]) => unknown;
    const faulty = (...args: unknown[]): unknown => {
      const path = typeof args[0] === "string" ? args[0] : (open.get(args[0]) ?? null);
      const failure = meet(name, path);
      // a file is closed all the same: what fails is what closing had still to write
      if (failure !== null && name === "closeSync") call(...args);
      if (failure !== null) throw failure;
      const result = call(...args);
      if (name === "openSync" && path !== null) open.set(result, path);
      return result;
    };
    Object.assign(io, { [name]: faulty });
  }
  return { calls, failed, [Symbol.dispose]: () => void Object.assign(io, original) };
}

/** Writes that take less than they are given. `using` ends it. */
export interface ShortWrites extends Disposable {
  /** Writes of which a part was taken. */
  cut: number;
}

/** Lets each write take `bytes` bytes at most, as the system may do at any time. */
export function shortWrites(bytes: number): ShortWrites {
  const { writeSync } = io;
  const writes = { cut: 0, [Symbol.dispose]: () => void Object.assign(io, { writeSync }) };
  io.writeSync = (fd, data, offset, length) => {
    if (length > bytes) writes.cut += 1;
    return writeSync(fd, data, offset, Math.min(length, bytes));
  };
  return writes;
}

function systemError(code: string, name: string, path: string | null): Error {
  const syscall = name.replace("Sync", "");
  const about = path === null ? { code, syscall } : { code, syscall, path };
  return Object.assign(new Error(`${code}: injected, ${syscall}${path === null ? "" : ` '${path}'`}`), about);
}
