/** Rows as the model sees them: every token with what it stands for, and which of them are learned. */
import type { Tokenizer } from "../text/tokenizer.ts";
import { describeOrigin, type Example } from "./example.ts";

/** Prompt or answer of a row, token by token. The lists are of one length. Plain data, fit for JSON. */
export interface ShownPart {
  name: "prompt" | "chosen" | "rejected" | "answer";
  ids: number[];
  /** What each token stands for; `bytes:\xe2\x82` where that is a part of a character only. */
  pieces: string[];
  /** 1 where the token counts in the loss. */
  mask: number[];
  /** 1 where the token is a special one, and not text that looks like it. */
  special: number[];
  /** 1 where the token ends an answer, in the loss or not. */
  ends: number[];
  /** 1 where the token was truncated to fit the length limit: the model does not see it. */
  cut: number[];
  text: string;
}

/** A row that is trained on. */
export interface ShownRow {
  /** `file:line`. */
  where: string;
  parts: ShownPart[];
  /** What the encoder did; see the findings of the same names. */
  notes: string[];
}

/** What tokens are shown with. */
export interface ShowOptions {
  tokenizer: Tokenizer;
  /** Tokens that end an answer. */
  stopIds: ReadonlySet<number>;
}

/** `example` token by token, with its truncated tokens where those were kept (`trace.uncut`). */
export function showRow(example: Example, options: ShowOptions): ShownRow {
  const { origin, promptIds, completions, trace } = example;
  const whole = trace?.uncut ?? example;
  const names = completions.length > 1 ? (["chosen", "rejected"] as const) : (["answer"] as const);
  const prompt = {
    name: "prompt" as const,
    ids: whole.promptIds,
    mask: whole.promptIds.map(() => 0),
    cut: cutOfPrompt(whole.promptIds, promptIds),
  };
  const answers = whole.completions.map(({ ids, mask }, i) => {
    const kept = completions[i]?.ids.length ?? 0;
    const cut = ids.map((_, at) => Number(at >= kept));
    const learned = ids.map((_, at) => (at >= kept ? 0 : (mask?.[at] ?? 1)));
    return { name: names[i] ?? ("answer" as const), ids, mask: learned, cut };
  });
  return {
    where: describeOrigin(origin),
    parts: [prompt, ...answers].map((part) => showPart(part, options)),
    notes: [...(trace?.notes ?? [])],
  };
}

/** A prompt loses its beginning, all of it or all but its BOS. */
function cutOfPrompt(ids: readonly number[], kept: readonly number[]): number[] {
  const count = ids.length - kept.length;
  const from = count > 0 && kept[0] !== ids[count] ? 1 : 0;
  return ids.map((_, at) => Number(at >= from && at < from + count));
}

interface Tokens {
  name: ShownPart["name"];
  ids: readonly number[];
  mask: readonly number[];
  cut: readonly number[];
}

function showPart({ name, ids, mask, cut }: Tokens, { tokenizer, stopIds }: ShowOptions): ShownPart {
  return {
    name,
    ids: [...ids],
    pieces: ids.map((id) => pieceOf(tokenizer.tokenBytes(id))),
    mask: [...mask],
    special: ids.map((id) => Number(tokenizer.isSpecial(id))),
    ends: ids.map((id) => Number(name !== "prompt" && stopIds.has(id))),
    cut: [...cut],
    text: textOf(tokenizer, ids),
  };
}

/** The text of tokens, of their bytes together, with special tokens as they are written. */
export function textOf(tokenizer: Tokenizer, ids: readonly number[]): string {
  return Buffer.concat(ids.map((id) => tokenizer.tokenBytes(id))).toString("utf8");
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A token's text, or its bytes in the form of OpenAI's log-probs. */
function pieceOf(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch {
    return `bytes:${[...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
  }
}
