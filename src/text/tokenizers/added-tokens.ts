/** Added tokens of tokenizer.json: their ids, and where they stand in a text, as the Rust tokenizers find them. */
import { isRecord } from "../../base/is-record.ts";
import { flagMember, UnsupportedPart } from "./tokenizer-parts.ts";

/** A token that is found before the model sees a text. */
export interface AddedTokenEntry {
  id: number;
  content: string;
  /** Only found where no letter, digit or underscore stands beside it. */
  singleWord: boolean;
  /** Takes the white space before it. */
  lstrip: boolean;
  /** Takes the white space behind it. */
  rstrip: boolean;
  /** Looked for in the normalised text rather than in the text as it is. */
  normalized: boolean;
  special: boolean;
}

/** A section of a text: what an added token takes up, or what is between. */
export interface AddedSection {
  text: string;
  token: AddedTokenEntry | null;
  at: number;
}

/**
 * The added tokens in `list`.
 *
 * @param modelId - id of a text in the model's vocabulary
 * @param modelSize - number of texts in it
 * @throws UnsupportedPart for an id that the Rust library would not give the token
 */
export function readAddedTokens(
  list: readonly unknown[],
  modelId: (text: string) => number | undefined,
  modelSize: number,
): AddedTokenEntry[] {
  const tokens = new Map<string, AddedTokenEntry>();
  let largest = -1;
  for (const entry of list) {
    const token = readAddedToken(entry);
    const { id, content } = token;
    if (content === "") continue;
    const next = Math.max(largest + 1, modelSize);
    const given = tokens.get(content)?.id ?? modelId(content) ?? next;
    if (given !== id) {
      throw new UnsupportedPart(
        `the added token ${JSON.stringify(content)} has the id ${id}, and the tokenizers library gives it ${given}`,
      );
    }
    largest = Math.max(largest, id);
    tokens.set(content, token);
  }
  return [...tokens.values()];
}

function readAddedToken(entry: unknown): AddedTokenEntry {
  if (!isRecord(entry) || typeof entry["content"] !== "string" || typeof entry["id"] !== "number") {
    throw new UnsupportedPart("an added token has no content or no id");
  }
  const special = flagMember(entry, "special", false);
  return {
    id: entry["id"],
    content: entry["content"],
    singleWord: flagMember(entry, "single_word", false),
    lstrip: flagMember(entry, "lstrip", false),
    rstrip: flagMember(entry, "rstrip", false),
    normalized: flagMember(entry, "normalized", !special),
    special,
  };
}

interface Node {
  next: Map<number, Node>;
  token: AddedTokenEntry | null;
}

const word = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]";
const endsWithWord = new RegExp(`${word}$`, "u");
const startsWithWord = new RegExp(`^${word}`, "u");

/** Finds tokens in a text: from the left, of several at a place the longest. */
export class AddedTokenFinder {
  readonly #root: Node = { next: new Map(), token: null };

  /** @param contents - the text of each token that is looked for */
  constructor(contents: Iterable<readonly [string, AddedTokenEntry]>) {
    for (const [content, token] of contents) {
      let node = this.#root;
      for (let i = 0; i < content.length; i++) {
        const unit = content.charCodeAt(i);
        const child: Node = node.next.get(unit) ?? { next: new Map(), token: null };
        node.next.set(unit, child);
        node = child;
      }
      if (node !== this.#root) node.token ??= token;
    }
  }

  /** The sections of `text` in order. */
  *split(text: string): Generator<AddedSection, void, undefined> {
    let done = 0;
    let space = { from: 0, to: 0 };
    for (const { token, from, to } of this.#matches(text)) {
      const start = token.lstrip ? spaceBefore(text, from, done) : from;
      // a run of white space that is made of such tokens is read once
      if (token.rstrip && !(space.from <= to && to <= space.to))
        space = { from: to, to: spaceBehind(text, to) };
      const end = token.rstrip ? space.to : to;
      if (done < start) yield { text: text.slice(done, start), token: null, at: done };
      yield { text: text.slice(start, end), token, at: start };
      done = end;
    }
    if (done < text.length) yield { text: text.slice(done), token: null, at: done };
  }

  *#matches(text: string): Generator<{ token: AddedTokenEntry; from: number; to: number }, void, undefined> {
    if (this.#root.next.size === 0) return;
    let from = 0;
    while (from < text.length) {
      const match = this.#match(text, from);
      const to = from + (match?.length ?? 1);
      if (match !== null && (!match.token.singleWord || standsAlone(text, from, to))) {
        yield { token: match.token, from, to };
      }
      from = to;
    }
  }

  #match(text: string, from: number): { token: AddedTokenEntry; length: number } | null {
    let node = this.#root.next.get(text.charCodeAt(from));
    let found: { token: AddedTokenEntry; length: number } | null = null;
    for (let at = from + 1; node !== undefined; at++) {
      if (node.token !== null) found = { token: node.token, length: at - from };
      node = at < text.length ? node.next.get(text.charCodeAt(at)) : undefined;
    }
    return found;
  }
}

function standsAlone(text: string, from: number, to: number): boolean {
  // A pair of surrogates is one character: two units on either side are enough.
  const before = text.slice(Math.max(0, from - 2), from);
  return !endsWithWord.test(before) && !startsWithWord.test(text.slice(to, to + 2));
}

/** Where the white space before `end` begins, but not before `least`. */
function spaceBefore(text: string, end: number, least: number): number {
  let at = end;
  while (at > least && /\p{White_Space}/u.test(text[at - 1] ?? "")) at--;
  return at;
}

function spaceBehind(text: string, from: number): number {
  let at = from;
  while (at < text.length && /\p{White_Space}/u.test(text[at] ?? "")) at++;
  return at;
}
