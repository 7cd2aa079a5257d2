/** A long list, a page at a time: `from` of the address is the first row that is shown. */
import type { JSX } from "preact";
import { pageRows } from "../page-rows.ts";
import { setQuery } from "./place.ts";

/** The buttons to the rows before and after. */
export function Pager({ from, total }: { from: number; total: number }): JSX.Element {
  return (
    <>
      <button
        type="button"
        disabled={from === 0}
        onClick={() => setQuery({ from: String(Math.max(0, from - pageRows)) })}
      >
        Before
      </button>
      <button
        type="button"
        disabled={from + pageRows >= total}
        onClick={() => setQuery({ from: String(from + pageRows) })}
      >
        Next
      </button>
    </>
  );
}
