/**
 * Splits text at a tokenizer's added tokens, leftmost and longest match first.
 *
 * Tokenizers treat the sections between added tokens independently, so a conversation's sections can be
 * tokenised once and reused wherever they occur again.
 */

/** A piece of text: either exactly one added token, or text without any. */
export interface Section {
  text: string;
  isAddedToken: boolean;
}

interface TrieNode {
  next: Map<number, TrieNode>;
  isEnd: boolean;
}

/** Finds added tokens in text. */
export class SectionSplitter {
  readonly #root: TrieNode = { next: new Map(), isEnd: false };

  constructor(addedTokens: Iterable<string>) {
    for (const token of addedTokens) {
      let node = this.#root;
      for (let i = 0; i < token.length; i++) {
        const unit = token.charCodeAt(i);
        let child = node.next.get(unit);
        if (child === undefined) {
          child = { next: new Map(), isEnd: false };
          node.next.set(unit, child);
        }
        node = child;
      }
      node.isEnd = token.length > 0;
    }
  }

  /** The sections of `text` in order; joined, they are the text. */
  split(text: string): Section[] {
    const sections: Section[] = [];
    let start = 0;
    let position = 0;
    while (position < text.length) {
      const length = this.#matchLength(text, position);
      if (length === 0) {
        position++;
        continue;
      }
      if (position > start) sections.push({ text: text.slice(start, position), isAddedToken: false });
      sections.push({ text: text.slice(position, position + length), isAddedToken: true });
      position += length;
      start = position;
    }
    if (start < text.length) sections.push({ text: text.slice(start), isAddedToken: false });
    return sections;
  }

  #matchLength(text: string, from: number): number {
    let node: TrieNode | undefined = this.#root.next.get(text.charCodeAt(from));
    let matched = 0;
    let position = from;
    while (node !== undefined) {
      position++;
      if (node.isEnd) matched = position - from;
      node = position < text.length ? node.next.get(text.charCodeAt(position)) : undefined;
    }
    return matched;
  }
}
