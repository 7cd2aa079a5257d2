/** Keys of the configuration as command-line arguments: `--key value`, `--key=value`, and `--key` alone for true. */
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import { shellWord } from "../base/shell-word.ts";
import { fieldOf, isConfigKey } from "../config/keys.ts";

/**
 * The configuration's file, which comes before the keys.
 *
 * @throws {ConfigError} where a key stands in its place
 */
export function fileBefore(word: string): string {
  if (!word.startsWith("--")) return word;
  throw new ConfigError(
    `expected the configuration's file before the keys, got ${word} there. Write the file first, then --key value.`,
  );
}

/**
 * The keys of a training's command line, with `--resume`, which stands for one.
 *
 * @throws {ConfigError} where a value follows `--resume`, or the key that it stands for is given too
 */
export function pairsToTrain(argv: readonly string[], isResume: boolean): [string, string][] {
  if (!isResume) return pairsOf(argv);
  const key = "resume_from_checkpoint";
  const named = (word: string): string =>
    ` --resume takes the newest intact checkpoint and no value. To take this one write --${key} ${shellWord(word)} in its place.`;
  const pairs = pairsOf(argv, named);
  const own = pairs.find(([word]) => word.replaceAll("-", "_") === key);
  if (own === undefined) return [...pairs, [key, "latest"]];
  throw new ConfigError(
    `--resume means --${key} latest, and --${own[0]} ${shellWord(own[1])} is given too. Take one of the two out.`,
  );
}

/**
 * `--key value`, `--key=value`, and `--flag` for true.
 *
 * @param hintOf - what to say besides of a word that is neither key nor value
 */
export function pairsOf(
  argv: readonly string[],
  hintOf: (word: string) => string = () => "",
): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = at(argv, i);
    const [, key, value] = /^--([A-Za-z_][\w-]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (key === undefined) {
      const meant = /^[A-Za-z_][\w-]*=/.test(word) ? ` Did you mean --${word}?` : hintOf(word);
      throw new ConfigError(`expected --key value after the configuration, got "${word}".${meant}`);
    }
    const next = argv[i + 1];
    if (value !== undefined) pairs.push([key, value]);
    else if (next === undefined || /^--[A-Za-z_]/.test(next)) pairs.push([key, switchedOn(key)]);
    else {
      pairs.push([key, next]);
      i += 1;
    }
  }
  return pairs;
}

/**
 * What `--key` without a value stands for.
 *
 * @throws {ConfigError} where the key is none that is true or false
 */
function switchedOn(word: string): string {
  const key = word.replaceAll("-", "_");
  if (!isConfigKey(key) || fieldOf(key).check(true).success) return "true";
  throw new ConfigError(`--${word}: expected ${fieldOf(key).expected} after it, got nothing.`);
}
