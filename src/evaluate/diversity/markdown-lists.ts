/** Whether the numbers of numbered lists go up by one, nested lists and text between items included. */

interface List {
  last: number;
  items: number;
  /** Every item so far has the same number, which Markdown counts up by itself. */
  isLevel: boolean;
  /** Something that is not of the list came after its last item: a new list may begin. */
  isInterrupted: boolean;
}

/** Follows the numbered lists of one answer. */
export class ListNumbers {
  /** The lists that may go on, by the columns of their indent. */
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

  /** Text, code or a heading at `indent`: lists that are not indented less may begin anew behind it. */
  interrupt(indent: number): void {
    for (const [own, list] of this.#lists) if (indent <= own) list.isInterrupted = true;
  }
}
