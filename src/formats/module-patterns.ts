/** Names and regular expressions of modules that come with an adapter: how many there may be, and how long they may take. */
import { ConfigError, messageOf } from "../base/errors.ts";
import { computedMs, withinComputedTime } from "../base/time-limit.ts";

/** Longest regular expression accepted. */
const maxPatternLength = 1000;
/** Regular expressions in one `rank_pattern` or `alpha_pattern`; plain names do not count. */
const maxExpressions = 1000;
/** Processor time for matching all names of a model against the expressions of a field; ordinary ones need a thousandth of it. */
const matchLimitMs = 250;

/**
 * The names that a Python regular expression matches in full.
 *
 * It runs under a limit of processor time, since a short expression can backtrack for years.
 * @param where - the field it came from, for messages
 * @throws {ConfigError} when the expression is invalid, too long, or takes too long to match
 */
export function matchPattern(pattern: string, names: readonly string[], where: string): string[] {
  const expression = compiled(pattern, where);
  const refuse = (cause: unknown): never => refuseExpression(pattern, where, cause);
  return limited(refuse, matchLimitMs, () => names.filter((name) => expression.test(name)));
}

function compiled(pattern: string, where: string): RegExp {
  if (pattern.length > maxPatternLength) {
    throw new ConfigError(
      `${where}: expected a regular expression of at most ${maxPatternLength} characters, got ${pattern.length}. ` +
        "List the modules instead.",
    );
  }
  const translated = pattern.replaceAll("(?P<", "(?<").replaceAll("\\Z", "$").replaceAll("\\A", "^");
  try {
    return new RegExp(`^(?:${translated})$`);
  } catch (cause) {
    return refuseExpression(pattern, where, cause);
  }
}

function refuseExpression(pattern: string, where: string, cause: unknown): never {
  throw new ConfigError(
    `${where}: expected a regular expression over module names, got ${JSON.stringify(pattern)}: ` +
      `${messageOf(cause)}. List the modules instead.`,
    { cause },
  );
}

function limited<T>(refuse: (cause: unknown) => never, limitMs: number, work: () => T): T {
  try {
    return withinComputedTime(limitMs, work);
  } catch (cause) {
    return refuse(cause);
  }
}

/** A module's path and all its ends: "a.b.c", "b.c", "c". */
function endsOf(module: string): string[] {
  const parts = module.split(".");
  return parts.map((_, i) => parts.slice(i).join("."));
}

/** Whether one of many names is the path of a module or its last parts, in time that does not grow with the names. */
export function namesAny(names: ReadonlySet<string>, module: string): boolean {
  return endsOf(module).some((end) => names.has(end));
}

interface Expression {
  key: string;
  place: number;
  expression: RegExp;
}

/** The entries of a `rank_pattern` or `alpha_pattern`, ready to be asked. */
interface PatternTable {
  /** Place and value of each plain name. */
  plain: Map<string, number>;
  expressions: Expression[];
  values: number[];
  leftMs: number;
}

const tables = new WeakMap<Readonly<Record<string, number>>, PatternTable>();

function tableOf(pattern: Readonly<Record<string, number>>, where: string): PatternTable {
  const known = tables.get(pattern);
  if (known !== undefined) return known;
  const keys = Object.keys(pattern);
  const table: PatternTable = {
    plain: new Map(),
    expressions: [],
    values: Object.values(pattern),
    leftMs: matchLimitMs,
  };
  for (const [place, key] of keys.entries()) {
    if (/^[\w.]+$/.test(key)) table.plain.set(key, place);
    else if (table.expressions.length < maxExpressions) {
      table.expressions.push({ key, place, expression: compiled(`(.*\\.)?(${key})`, where) });
    } else {
      throw new ConfigError(
        `${where}: expected at most ${maxExpressions} regular expressions, it has more. Name the modules instead.`,
      );
    }
  }
  tables.set(pattern, table);
  return table;
}

/**
 * The value of the first entry of `pattern` that names `module`, null when none does.
 *
 * @param where - the field it came from, for messages
 * @throws {ConfigError} when an expression is invalid or too long, or when they take too long or are too many
 */
export function patternValue(
  pattern: Readonly<Record<string, number>>,
  module: string,
  where: string,
): number | null {
  const table = tableOf(pattern, where);
  const places = endsOf(module).map((end) => table.plain.get(end) ?? Number.POSITIVE_INFINITY);
  let first = Math.min(...places);
  let asked = "";
  let spent = 0;
  const refuse = (cause: unknown): never => refuseExpression(asked, where, cause);
  if (table.expressions.length > 0) {
    limited(refuse, Math.max(1, table.leftMs), () => {
      const before = computedMs();
      for (const { key, place, expression } of table.expressions) {
        asked = key;
        if (place > first) break;
        if (expression.test(module)) first = place;
      }
      spent = computedMs() - before;
    });
    table.leftMs -= spent;
  }
  return table.values[first] ?? null;
}
