/** Tokenizers of transformers that take `add_prefix_space` from tokenizer_config.json and not from tokenizer.json. */
import { FormatError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";

/** Classes of transformers 5 that go by the config's `add_prefix_space`, whatever tokenizer.json has. */
const prefixedByConfig = /^(CodeGen|GPT2|GPTNeoX|Qwen2)Tokenizer(Fast)?$/;

/**
 * Refuses a tokenizer whose two files differ on `add_prefix_space`, where its class goes by the config.
 *
 * @param path - of the config
 * @throws {FormatError} that names both values
 */
export function refuseOtherPrefix(
  tokenizer: Readonly<Record<string, unknown>>,
  config: Readonly<Record<string, unknown>>,
  path: string,
): void {
  const name = config["tokenizer_class"];
  const part = tokenizer["pre_tokenizer"];
  const list = isRecord(part) && Array.isArray(part["pretokenizers"]) ? part["pretokenizers"] : [part];
  const bytes = list.filter(isRecord).filter((one) => one["type"] === "ByteLevel");
  if (typeof name !== "string" || !prefixedByConfig.test(name) || bytes.length === 0) return;
  const [got, wanted] = [config["add_prefix_space"], bytes.some((one) => one["add_prefix_space"] !== false)];
  if ((got === true) === wanted) return;
  throw new FormatError(
    `${path}: expected add_prefix_space: ${wanted}, as tokenizer.json has it, got ${String(got ?? "none")}: transformers' ${name} goes by this ` +
      "file and other programs by that, and a text would begin with another token. Set the two alike.",
  );
}
