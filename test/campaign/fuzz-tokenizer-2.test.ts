/** Fuzz of tokenizer.json and tokenizer_config.json, part 2 of 2: loaded and used, or refused by name. */
import { test } from "node:test";
import { fuzzTokenizer } from "../support/fuzz-tokenizer.ts";

test("tokenizers that are nearly right are loaded or refused by name, part 2", () => fuzzTokenizer(2));
