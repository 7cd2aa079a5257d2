/** Normalizers of tokenizer.json, as the Rust tokenizers apply them. */
import type { JsonObject } from "../tokenizer-files.ts";
import { inOrder, replaced } from "./limits.ts";
import { normalized } from "./normal-forms.ts";
import { flagMember, made, type Piece, partsOf, patternOf, textMember } from "./tokenizer-parts.ts";

/** Changes a text before it is split. What is left is no longer first when its beginning was taken away. */
export type Normalize = (piece: Piece) => Piece;

const identity: Normalize = (piece) => piece;

function changing(change: (text: string) => string): Normalize {
  return ({ text, isFirst }) => ({ text: change(text), isFirst });
}

/** Takes away what `pattern` finds. */
function without(pattern: RegExp): Normalize {
  return ({ text, isFirst }) => ({
    text: text.replace(pattern, ""),
    isFirst: isFirst && (text === "" || text.search(pattern) !== 0),
  });
}

/** Takes away white space at the end: a pattern would look for it from each white space on. */
function withoutSpaceBehind({ text, isFirst }: Piece): Piece {
  let end = text.length;
  while (end > 0 && /\p{White_Space}/u.test(text[end - 1] ?? "")) end--;
  return { text: text.slice(0, end), isFirst: isFirst && (end > 0 || text === "") };
}

/** Characters of a piece. */
export function sizeOf({ text }: Piece): number {
  return text.length;
}

function inTurn(steps: readonly Normalize[]): Normalize {
  return (piece) => inOrder(piece, steps, sizeOf);
}

/** The function of a normalizer. @throws UnsupportedPart for an unknown kind */
export function makeNormalizer(part: JsonObject | null): Normalize {
  return part === null ? identity : inTurn(stepsOf(part));
}

/** The steps of a part, those of sequences inside sequences in one list. */
function stepsOf(part: JsonObject): Normalize[] {
  if (part["type"] === "Sequence") return partsOf(part, "normalizers").flatMap(stepsOf);
  return [made(makers, part, "normalizer")];
}

const makers: Readonly<Record<string, (part: JsonObject) => Normalize>> = {
  NFC: () => changing((text) => normalized(text, "NFC")),
  NFD: () => changing((text) => normalized(text, "NFD")),
  NFKC: () => changing((text) => normalized(text, "NFKC")),
  NFKD: () => changing((text) => normalized(text, "NFKD")),
  Lowercase: () => changing(lowercase),
  StripAccents: () => without(/\p{M}/gu),
  Prepend: (part) => {
    const prefix = textMember(part, "prepend", "");
    return changing((text) => (text === "" ? text : prefix + text));
  },
  Replace: (part) => {
    const pattern = patternOf(part);
    const content = textMember(part, "content", "");
    return content === "" ? without(pattern) : changing((text) => replaced(text, pattern, content));
  },
  Strip: (part) => {
    const left = flagMember(part, "strip_left", true) ? without(/^\p{White_Space}+/gu) : identity;
    const right = flagMember(part, "strip_right", true) ? withoutSpaceBehind : identity;
    return inTurn([left, right]);
  },
  BertNormalizer: bert,
};

/** Each character for itself: a sigma that ends a word is none. */
function lowercase(text: string): string {
  return Array.from(text, (character) => character.toLowerCase()).join("");
}

const chinese =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

function bert(part: JsonObject): Normalize {
  const toLower = flagMember(part, "lowercase", true);
  const steps: Normalize[] = [];
  if (flagMember(part, "clean_text", true)) {
    steps.push(without(/(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\p{Cs}]|\ufffd/gu));
    steps.push(changing((text) => text.replace(/\p{White_Space}/gu, " ")));
  }
  if (flagMember(part, "handle_chinese_chars", true)) {
    steps.push(changing((text) => text.replace(chinese, " $& ")));
  }
  if (flagMember(part, "strip_accents", toLower)) {
    steps.push(
      changing((text) => normalized(text, "NFD")),
      without(/\p{Mn}/gu),
    );
  }
  if (toLower) steps.push(changing(lowercase));
  return inTurn(steps);
}
