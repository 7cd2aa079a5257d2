/** The tokenizer's files beside a model that is written. */
import { dirname, join } from "node:path";
import { copyFile } from "../base/copy-files.ts";
import { makeDirectories } from "../base/file-io.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** Copies the tokenizer's files into `dir`. */
export function copyTokenizer(dir: string, tokenizer: Tokenizer): void {
  for (const file of tokenizer.files) {
    const target = join(dir, file);
    makeDirectories(dirname(target));
    copyFile(join(tokenizer.directory, file), target);
  }
}
