/** Tables: the names of columns above, a line's own name in its first cell. */
import type { ComponentChildren, JSX } from "preact";

/** A line of a table. */
interface TableLine {
  key: string | number;
  /** Its name first. */
  cells: readonly ComponentChildren[];
  class?: string;
}

interface Props {
  /** Names of the columns; left out: the table has none. */
  head?: readonly string[];
  /** The first column of numbers, and the first behind them; left out: none, and the rest. */
  numbers?: readonly [from: number, to?: number];
  /** Whether a line becomes a list of its cells where the screen is narrow. */
  isStacked?: boolean;
  lines?: readonly TableLine[];
  /** Lines that are more than their cells. */
  children?: ComponentChildren;
}

/** A table, which scrolls sideways in its own box. */
export function Table({
  head = [],
  numbers = [99],
  isStacked = false,
  lines = [],
  children,
}: Props): JSX.Element {
  const [from, to = 99] = numbers;
  const classOf = (column: number): string => (column >= from && column < to ? "number" : "");
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be reached by the keyboard
    <div class="scroll" tabIndex={0}>
      <table class={isStacked ? "runs" : ""}>
        {head.length > 0 && (
          <thead>
            <tr>
              {head.map((name, i) => (
                <th key={name} scope="col" class={classOf(i)}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
        )}
        <tbody>
          {lines.map(({ key, cells: [name, ...cells], class: given = "" }) => (
            <tr key={key} class={given}>
              <th scope="row">{name}</th>
              {cells.map((cell, i) => (
                <td key={i} class={classOf(i + 1)} data-name={head[i + 1]}>
                  {cell}
                </td>
              ))}
            </tr>
          ))}
          {children}
        </tbody>
      </table>
    </div>
  );
}
