/**
 * JSON files that carry the SHA-256 of themselves as their last key, `sha256`: a bit that changes on the disk is noticed,
 * wherever in the file it is. The digest is of the file without those 64 digits.
 */
import { FormatError, messageOf } from "./errors.ts";
import { readTextFile, sha256 } from "./files.ts";

const SEAL = /("sha256": ?")([0-9a-f]{64})("\n?\}\n)$/;
/** What is left of a seal with one damaged byte: in its name, in its digits, behind them. */
const REMAINS = /[0-9a-f]{64}"\n?\}\n$|"sha256": ?".{64}"\n?\}\n$|"sha256": ?"[0-9a-f]{64}.{1,4}$/s;

/** `json`, the text of an object with at least one key, with its digest as the last key and a newline at the end. */
export function sealed(json: string): string {
  const isIndented = json.endsWith("\n}");
  const body = json.slice(0, isIndented ? -2 : -1);
  const before = isIndented ? `${body},\n  "sha256": "` : `${body},"sha256":"`;
  const after = isIndented ? '"\n}\n' : '"}\n';
  return `${before}${sha256(before + after)}${after}`;
}

/** Whether a text carries a digest, right or wrong. */
export function isSealed(text: string): boolean {
  return SEAL.test(text);
}

/**
 * The object in the file at `path` without its seal. Files of earlier versions, which have none, are read as well.
 *
 * @param parse - in place of `JSON.parse`
 * @throws {FileError} when it cannot be read
 * @throws {FormatError} when it has changed since it was written, or holds no object
 */
export function readSealed(
  path: string,
  parse: (text: string) => unknown = JSON.parse,
): Record<string, unknown> {
  const text = readTextFile(path);
  const seal = SEAL.exec(text);
  const isWhole =
    seal === null ? !REMAINS.test(text) : sha256(text.slice(0, seal.index) + seal[1] + seal[3]) === seal[2];
  if (!isWhole) throw new FormatError(`${path} has changed since it was written (SHA-256).`);
  const value = parsed(path, text, parse);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FormatError(`${path}: expected a JSON object, got ${JSON.stringify(value)?.slice(0, 40)}.`);
  }
  const { sha256: _, ...rest } = value as Record<string, unknown>;
  return rest;
}

function parsed(path: string, text: string, parse: (text: string) => unknown): unknown {
  try {
    return parse(text);
  } catch (cause) {
    throw new FormatError(`${path}: expected JSON: ${messageOf(cause)}. The file is damaged.`, { cause });
  }
}
