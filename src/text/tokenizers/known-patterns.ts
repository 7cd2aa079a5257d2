/**
 * Regular expressions of published tokenizers. They were tried on long texts of every kind and take time that grows with the text
 * alone, so they run as they are. Any other pattern of a tokenizer.json runs under a time limit (`limited.ts`).
 */

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const between = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** cl100k as tiktoken spelled it, by its digits. What its possessive quantifiers take would be of no use if they gave it back. */
const cl100k = (digits: string): string =>
  `'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+`;

/** As spelled in tokenizer.json. */
export const knownPatterns: ReadonlySet<string> = new Set([
  // GPT-2 and what took its words over
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  // Llama 3 (three digits), Qwen 2 to 3 (one digit)
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${between}`,
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${between}`,
  // o200k, with contractions and without: GPT-4o, Llama 4, Mistral's tekken
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${contractions}?|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${contractions}?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${between}`,
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${between}`,
  // parts of DeepSeek's, and single classes
  "\\p{N}{1,3}",
  "[一-龥぀-ゟ゠-ヿ]+",
  "\\p{N}",
  "[0-9]",
  "\\d",
  "\\s+",
  " ",
  cl100k("\\p{N}{1,3}"),
  cl100k("\\p{N}{1,2}"),
  cl100k("\\p{N}"),
]);
