/** Small parts that several screens have. */
import type { JSX } from "preact";
import type { Summary } from "../run-summary.ts";

/** Something that went wrong, in words. */
export function Problem({ text }: { text: string }): JSX.Element {
  return (
    <p class="note bad" role="alert">
      {text}
    </p>
  );
}

/** The state of a run as a word with a colour. */
export function StateTag({ run }: { run: Summary }): JSX.Element {
  return (
    <span class={`state ${run.state.replace(" ", "-")}`} title={run.message}>
      {run.stateText}
    </span>
  );
}
