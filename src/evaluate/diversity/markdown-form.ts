/**
 * Whether an answer's Markdown is well formed. Every text is some Markdown (CommonMark 0.31), so "broken" means here what
 * a reader would call so; each fault is defined in {@link FORM_FAULTS}. Code inside fences is not looked at.
 */
import { inlineFaults } from "./markdown-inline.ts";
import { ListNumbers } from "./markdown-lists.ts";
import { isRule, tableIsRagged } from "./markdown-tables.ts";

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
