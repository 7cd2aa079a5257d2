/**
 * Whether an answer's Markdown is well formed. Every text is some Markdown (CommonMark 0.31), so "broken" means here what
 * a reader would call so; each fault is defined in {@link FORM_FAULTS}. Code inside fences is not looked at.
 */

/** The faults, and what counts as each. */
export const FORM_FAULTS = {
  fence: "a code fence (``` or ~~~) that is never closed",
  numbering:
    "a numbered list that begins with another number than 0 or 1, skips, repeats or goes back; all items with the same number are in order",
  list_item: "a list marker with nothing behind it, or a number with its point right before a word",
  heading: "two or more # right before a word, more than six #, or # with nothing behind",
  emphasis: "** or __ that opens strong emphasis and has no partner in its paragraph, list item or heading",
  code_span: "backticks without equally many to close them in the same paragraph, list item or heading",
  table:
    "a row with more or fewer cells than the table's head, or rows between bars without the line of dashes",
} as const;

/** A kind of fault. */
export type FormFault = keyof typeof FORM_FAULTS;

/** What was found in an answer. */
export interface FormFindings {
  /** True when the answer has any list, heading, table, fence, strong emphasis or code span. */
  isFormatted: boolean;
  faults: Set<FormFault>;
}

/**
 * The faults of `text`.
 *
 * @param isCut - the answer was cut at a length limit: its last line is left out, and what is open at its end is no fault
 */
export function formOf(text: string, isCut: boolean): FormFindings {
  const lines = text.split(/\r\n|\n|\r/);
  const scan = new FormScan();
  for (const line of isCut ? lines.slice(0, -1) : lines) scan.line(line);
  return scan.end(isCut);
}

const fence = /^\s*(`{3,}(?=[^`]*$)|~{3,})/;
const emptyHeading = /^ {0,3}#{1,6}\s*$/;
const crampedHeading = /^ {0,3}(#{2,6}[^#\s]|#{7,})/;
const heading = /^ {0,3}#{1,6}\s/;
const thematicBreak = /^\s*([-*_])(\s*\1){2,}\s*$/;
const item = /^(\s*)([-*+]|\d{1,3}[.)])(\s+|$)/;
const emptyItem = /^\s*([-*+]|\d{1,3}[.)])\s*$/;
const crampedItem = /^\s*\d{1,3}[.)]\p{L}/u;

class FormScan {
  readonly #found: FormFindings = { isFormatted: false, faults: new Set() };
  readonly #numbers: ListNumbers = new ListNumbers();
  /** The marker of the fence that is open. */
  #fence: string | null = null;
  /** Lines of the paragraph, list item or heading under way. */
  #block: string[] = [];
  /** Neighbouring lines that may be a table. */
  #rows: string[] = [];

  line(line: string): void {
    if (this.#fence !== null) {
      if (closesFence(line, this.#fence)) this.#fence = null;
      return;
    }
    const opening = fence.exec(line)?.[1];
    if (opening !== undefined) {
      this.#endBlock();
      this.#numbers.interrupt(indentOf(line));
      this.#fence = opening;
      this.#found.isFormatted = true;
      return;
    }
    this.#text(line);
  }

  #text(line: string): void {
    if (line.includes("|")) {
      this.#rows.push(line);
      this.#numbers.interrupt(indentOf(line));
      return;
    }
    this.#endTable();
    if (line.trim() === "" || thematicBreak.test(line)) this.#endBlock();
    else this.#written(line);
  }

  /** A line of a paragraph, a list item or a heading. */
  #written(line: string): void {
    const isBadHeading = emptyHeading.test(line) || crampedHeading.test(line);
    const isHeading = isBadHeading || heading.test(line);
    const marker = item.exec(line);
    if (isBadHeading) this.#found.faults.add("heading");
    if (emptyItem.test(line) || crampedItem.test(line)) this.#found.faults.add("list_item");
    this.#count(line, marker);
    if (isHeading || marker !== null) {
      this.#found.isFormatted = true;
      this.#endBlock();
    }
    this.#block.push(line);
    if (isHeading) this.#endBlock();
  }

  #count(line: string, marker: RegExpExecArray | null): void {
    const [, space = "", sign = ""] = marker ?? [];
    if (marker === null) this.#numbers.interrupt(indentOf(line));
    else if (!this.#numbers.item(indentOf(space), sign)) this.#found.faults.add("numbering");
  }

  #endTable(): void {
    const rows = this.#rows;
    this.#rows = [];
    if (rows.length === 0) return;
    if (rows.some(isRule)) this.#found.isFormatted = true;
    if (tableIsRagged(rows)) this.#found.faults.add("table");
    // what merely holds a bar is text like any other
    const cells = rows.length > 1 ? rows : [];
    if (cells.length === 0) this.#block.push(...rows);
    for (const row of cells) this.#inline(row);
  }

  #endBlock(): void {
    const text = this.#block.join("\n");
    this.#block = [];
    if (text !== "") this.#inline(text);
  }

  #inline(text: string): void {
    const { isFormatted, faults } = inlineFaults(text);
    if (isFormatted) this.#found.isFormatted = true;
    for (const fault of faults) this.#found.faults.add(fault);
  }

  end(isCut: boolean): FormFindings {
    this.#endTable();
    if (isCut) this.#block = [];
    this.#endBlock();
    if (this.#fence !== null && !isCut) this.#found.faults.add("fence");
    return this.#found;
  }
}

function closesFence(line: string, opening: string): boolean {
  const text = line.trim();
  return text.length >= opening.length && [...text].every((sign) => sign === opening[0]);
}

/** Columns of white space in front; a tab counts as four. */
function indentOf(line: string): number {
  const space = /^\s*/.exec(line)?.[0] ?? "";
  return space.replaceAll("\t", "    ").length;
}

interface List {
  last: number;
  items: number;
  /** Every item so far has the same number, which Markdown counts up by itself. */
  isLevel: boolean;
  /** Something that is not of the list came after its last item: a new list may begin. */
  isInterrupted: boolean;
}

/** Follows the numbered lists of one answer. */
class ListNumbers {
  /** The lists that may continue, by the columns of their indent. */
  readonly #lists: Map<number, List> = new Map();

  /** An item with marker `sign` ("-", "2.", "2)"). @returns false when its number is out of order */
  item(indent: number, sign: string): boolean {
    for (const other of this.#lists.keys()) if (other > indent) this.#lists.delete(other);
    const number = Number.parseInt(sign, 10);
    const list = this.#lists.get(indent);
    if (Number.isNaN(number)) {
      if (list !== undefined) list.isInterrupted = true;
      return true;
    }
    const begins = list === undefined || (list.isInterrupted && number <= 1 && number !== list.last + 1);
    if (begins) {
      this.#lists.set(indent, { last: number, items: 1, isLevel: false, isInterrupted: false });
      return number <= 1;
    }
    const isNext = number === list.last + 1 && !list.isLevel;
    const staysLevel = number === list.last && (list.items === 1 || list.isLevel);
    Object.assign(list, { last: number, items: list.items + 1, isLevel: staysLevel, isInterrupted: false });
    return isNext || staysLevel;
  }

  /** Text, code or a heading at `indent`: lists that are not indented less may start again after it. */
  interrupt(indent: number): void {
    for (const [own, list] of this.#lists) if (indent <= own) list.isInterrupted = true;
  }
}

const rule = /^\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*(\|\s*)?$/;

/** True for the line of dashes under a table's head. */
function isRule(line: string): boolean {
  return line.includes("|") && rule.test(line.trim());
}

/**
 * Whether neighbouring lines that each hold a bar are a faulty table: a row with another number of cells than the head, or
 * two or more rows that begin and end with a bar and have no line of dashes as the second.
 */
function tableIsRagged(rows: readonly string[]): boolean {
  const head = rows.findIndex((_, i) => isRule(rows[i + 1] ?? ""));
  const table = head < 0 ? [] : rows.slice(head);
  const before = head < 0 ? rows : rows.slice(0, head);
  const bare = before.filter((row) => /^\s*\|.*\|\s*$/.test(row)).length;
  if (bare >= 2) return true;
  const width = cellsOf(table[0] ?? "");
  return table.some((row) => cellsOf(row) !== width);
}

/** Cells of a row: bars behind a backslash do not part them, bars at the ends are a frame. */
function cellsOf(row: string): number {
  const inner = row
    .trim()
    .replaceAll(/\\[\\|]/g, "")
    .replace(/^\|/, "")
    .replace(/\|$/, "");
  return inner.split("|").length;
}

/** What was found in a paragraph, list item, heading or table row. */
interface InlineFindings {
  isFormatted: boolean;
  faults: ("emphasis" | "code_span")[];
}

/** The faults of `text`, one block. Single * and _ are not looked at: they are often no emphasis at all. */
function inlineFaults(text: string): InlineFindings {
  const code = withoutCode(text);
  const strong = strongIn(code.rest);
  const faults: InlineFindings["faults"] = [];
  if (strong.isOpen) faults.push("emphasis");
  if (code.isOpen) faults.push("code_span");
  return { isFormatted: code.spans > 0 || strong.pairs > 0, faults };
}

/** An escaped sign, or a run of backticks. */
const escapeOrTicks = /\\[!-/:-@[-`{-~]|`+/g;

/** The text with code spans and escaped characters replaced by a letter. */
function withoutCode(text: string): { rest: string; spans: number; isOpen: boolean } {
  const found = { rest: "", spans: 0, isOpen: false };
  let at = 0;
  for (const { 0: sign, index } of text.matchAll(escapeOrTicks)) {
    // inside the span before
    if (index < at) continue;
    const behind = index + sign.length;
    const end = sign.startsWith("`") ? closingRun(text, behind, sign.length) : behind;
    found.rest += text.slice(at, index) + (end < 0 ? sign : "x");
    at = end < 0 ? behind : end;
    if (end < 0) found.isOpen = true;
    else if (sign.startsWith("`")) found.spans += 1;
  }
  found.rest += text.slice(at);
  return found;
}

/** The place behind the next run of exactly `length` backticks, or -1. */
function closingRun(text: string, from: number, length: number): number {
  for (const { 0: run, index } of text.slice(from).matchAll(/`+/g)) {
    if (run.length === length) return from + index + length;
  }
  return -1;
}

const spaceCharacter = /^$|^\s$/u;
const punctuation = /^[\p{P}\p{S}]$/u;
const wordCharacter = /^[\p{L}\p{N}]$/u;

/** Runs of two or three * or _; longer ones are rulers and the like. */
function strongIn(text: string): { pairs: number; isOpen: boolean } {
  const open = { "*": 0, _: 0 };
  let pairs = 0;
  for (const { 0: run, index } of text.matchAll(/\*+|_+/g)) {
    if (run.length < 2 || run.length > 3) continue;
    const sign = run.startsWith("*") ? "*" : "_";
    const role = roleOf(lastOf(text.slice(0, index)), firstOf(text.slice(index + run.length)), sign);
    if (role.closes && open[sign] > 0) {
      open[sign] -= 1;
      pairs += 1;
    } else if (role.opens) open[sign] += 1;
  }
  return { pairs, isOpen: open["*"] + open._ > 0 };
}

/** Left- and right-flanking as in CommonMark; inside a word, as in 2**10, nothing is opened. */
function roleOf(before: string, after: string, sign: "*" | "_"): { opens: boolean; closes: boolean } {
  const isOuter = (character: string): boolean =>
    spaceCharacter.test(character) || punctuation.test(character);
  const left = !spaceCharacter.test(after) && (!punctuation.test(after) || isOuter(before));
  const right = !spaceCharacter.test(before) && (!punctuation.test(before) || isOuter(after));
  const isInWord = wordCharacter.test(before) && wordCharacter.test(after);
  if (sign === "*") return { opens: left && !isInWord, closes: right };
  return {
    opens: left && (!right || punctuation.test(before)),
    closes: right && (!left || punctuation.test(after)),
  };
}

function firstOf(text: string): string {
  return [...text.slice(0, 2)][0] ?? "";
}

function lastOf(text: string): string {
  return [...text.slice(-2)].at(-1) ?? "";
}
