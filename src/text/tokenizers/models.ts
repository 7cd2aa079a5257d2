/** Models of tokenizer.json. What would behave differently from the Rust library is refused. */
import { isRecord } from "../../base/is-record.ts";
import type { JsonObject } from "../tokenizer-files.ts";
import { makeBpe } from "./bpe.ts";
import { classes, type LibraryModel, type Model } from "./library.ts";
import { noUnknownToken, UnsupportedPart } from "./tokenizer-parts.ts";
import { makeUnigram } from "./unigram.ts";

/** The model in `part`. @throws UnsupportedPart for what is not available */
export function makeModel(part: JsonObject): Model {
  refuse(part);
  const type = typeOf(part);
  if (type === "Unigram") return makeUnigram(part);
  if (type === "BPE") return makeBpe(part);
  const model = openModel(part, type);
  return {
    encode: (piece) => model([piece]).map((token) => idOf(model, token)),
    idOf: (token) => model.tokens_to_ids.get(token),
    tokenOf: (id) => model.vocab[id],
    size: model.tokens_to_ids.size,
    ids: model.tokens_to_ids.values(),
  };
}

/** Old files do not name the type; it follows from their members. */
function typeOf(part: JsonObject): string {
  if (typeof part["type"] === "string") return part["type"];
  if (Array.isArray(part["vocab"])) return "Unigram";
  return "merges" in part ? "BPE" : "continuing_subword_prefix" in part ? "WordPiece" : "WordLevel";
}

function refuse(part: JsonObject): void {
  const type = typeOf(part);
  const members = ["continuing_subword_prefix", "end_of_word_suffix"];
  for (const member of type === "BPE" ? members : []) {
    if (typeof part[member] === "string" && part[member] !== "") {
      throw new UnsupportedPart(`the member ${member} of a BPE model is not supported`);
    }
  }
  if (typeof part["dropout"] === "number" && part["dropout"] > 0) {
    throw new UnsupportedPart("the member dropout of a BPE model is not supported: it makes tokens random");
  }
}

function openModel(part: JsonObject, type: string): LibraryModel {
  switch (type) {
    case "WordPiece":
      return new classes.WordPiece(part);
    case "WordLevel":
      return wordLevel(part);
    default:
      throw new UnsupportedPart(`the model ${type} is not supported`);
  }
}

function wordLevel(part: JsonObject): LibraryModel {
  const vocabulary = isRecord(part["vocab"]) ? part["vocab"] : {};
  const ids = new Map(Object.entries(vocabulary) as [string, number][]);
  const vocab: (string | undefined)[] = [];
  for (const [token, id] of ids) vocab[id] = token;
  const unknown = ids.get(String(part["unk_token"]));
  return Object.assign((pieces: string[]) => pieces, { tokens_to_ids: ids, vocab, unk_token_id: unknown });
}

function idOf(model: LibraryModel, token: string): number {
  const id = model.tokens_to_ids.get(token) ?? model.unk_token_id;
  if (id !== undefined) return id;
  throw noUnknownToken();
}
