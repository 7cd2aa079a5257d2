/** How a trainer that another process watches over came to its end, in words, and whether starting it again can help. */
import { readFileBytes } from "../base/open-file.ts";

/** How a process ended. */
export interface ChildEnd {
  /** Null where a signal ended it. */
  status: number | null;
  signal: NodeJS.Signals | null;
  /** Seconds without a sign of life, after which it was killed; null: it was not. */
  silentSeconds: number | null;
  /** Whether the system killed a process for want of memory meanwhile. */
  outOfMemory: boolean;
  /** Why it could not be started; left out: it was. */
  notStarted?: string;
}

const crashes: Partial<Record<NodeJS.Signals, string>> = {
  SIGSEGV: "it touched memory that is not its own",
  SIGBUS: "memory or a mapped file went away, as of a full or broken disk",
  SIGABRT: "it gave up, as for want of memory",
  SIGILL: "an instruction that this processor lacks",
  SIGFPE: "a sum that cannot be done",
};

/** How it ended, as the end of a sentence that begins with "the trainer". */
export function endInWords({ status, signal, silentSeconds, outOfMemory, notStarted }: ChildEnd): string {
  if (notStarted !== undefined) return `could not be started: ${notStarted}`;
  if (silentSeconds !== null) return `hung: it gave no sign of life for ${silentSeconds} s and was killed`;
  if (signal === null) return `ended with status ${status}`;
  if (signal !== "SIGKILL") {
    const why = crashes[signal];
    return why === undefined ? `was ended by ${signal}` : `crashed (${signal}: ${why})`;
  }
  return outOfMemory
    ? "was killed (SIGKILL) by the system for want of memory"
    : "was killed (SIGKILL), by someone or, where that is not reported, for want of memory";
}

/** Ends that say that the run was left as it was asked to: done, stopped, or left at once by a signal. */
const asAsked: ReadonlySet<number> = new Set([0, 129, 130, 143]);
/** Configuration, formats, data, and training that cannot continue: a retry would fail the same way. */
const lasting: ReadonlySet<number> = new Set([2, 3, 4, 6]);

/** What follows from an end. */
export type Verdict = "left" | "lasting" | "passing";

/**
 * Whether another start can fix an end: `left` as asked, `lasting` faults come again, `passing` ones (a kill, a crash, a hang, a
 * full disk) may not. What fails otherwise before a first step was ever begun fails again.
 */
export function verdictOn(
  { status, signal, silentSeconds, notStarted }: ChildEnd,
  hasBegun: boolean,
): Verdict {
  // too many processes, say; where none ever started, the program itself is at fault
  if (notStarted !== undefined) return hasBegun ? "passing" : "lasting";
  if (silentSeconds !== null) return "passing";
  if (signal !== null) return ["SIGINT", "SIGTERM", "SIGHUP"].includes(signal) ? "left" : "passing";
  if (asAsked.has(status ?? 0)) return "left";
  return lasting.has(status ?? 0) || !hasBegun ? "lasting" : "passing";
}

/** Processes that Linux has killed for want of memory since it started; 0 where it does not say. */
export function oomKills(): number {
  try {
    return Number(/^oom_kill (\d+)$/m.exec(readFileBytes("/proc/vmstat").toString())?.[1] ?? 0);
  } catch {
    return 0;
  }
}
