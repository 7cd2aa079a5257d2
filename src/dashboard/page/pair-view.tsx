/** One pair: its text, and how likely its answers became. The text is anybody's, and stands as it is. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { PairText, Turn } from "../pair-text.ts";
import type { ShownTokens } from "../run-routes.ts";
import type { PairCourse } from "../run-sections.ts";
import { useKeys } from "./keys.ts";
import { PairTokens } from "./pair-tokens.tsx";
import { Problem, useAnswer, Waiting } from "./pieces.tsx";
import { setQuery } from "./place.ts";
import { Table } from "./table.tsx";
import { signedText } from "./texts.ts";

interface Answer extends PairCourse {
  text: PairText | null;
  tokens: ShownTokens | null;
  problem: string | null;
}

/** The pair. */
export function PairView({
  run,
  pair,
  step,
}: {
  run: string;
  pair: string;
  step: number;
}): JSX.Element | null {
  const { value, problem } = useAnswer<Answer>(`/api/runs/${run}/pairs/${pair}`);
  const heading = useRef<HTMLHeadingElement>(null);
  useKeys([{ key: "Escape", what: "Close the pair", run: close }], []);
  useEffect(() => heading.current?.focus(), [value === null]);
  if (value === null || problem !== "") return <Waiting problem={problem}>Looking for the row …</Waiting>;
  const { place, steps, text, tokens, problem: missing } = value;
  return (
    <article class="pair" aria-label={`Pair ${place}`}>
      <p class="bar">
        <h3 ref={heading} tabIndex={-1}>
          {place}
        </h3>
        <button type="button" onClick={close}>
          Close <kbd>Esc</kbd>
        </button>
      </p>
      {missing !== null && <Problem text={missing} />}
      {text !== null && <Texts text={text} />}
      <PairTokens tokens={tokens} />
      <Course steps={steps} step={step} />
    </article>
  );
}

function close(): void {
  setQuery({ pair: "" });
}

function Texts({ text }: { text: PairText }): JSX.Element {
  return (
    <>
      <h4>Prompt</h4>
      <Turns turns={text.prompt} />
      <div class="sides">
        <div>
          <h4>Chosen</h4>
          <Turns turns={text.chosen} />
        </div>
        <div>
          <h4>Rejected</h4>
          <Turns turns={text.rejected} />
        </div>
      </div>
    </>
  );
}

function Turns({ turns }: { turns: readonly Turn[] }): JSX.Element {
  return (
    <>
      {turns.map(({ role, text }, i) => (
        // turns have no identity but their place
        <div key={i} class="turn">
          {turns.length > 1 && <span class="tag">{role}</span>}
          <Text>{text === "" ? <span class="tag">empty</span> : text}</Text>
        </div>
      ))}
    </>
  );
}

function Text({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be reached by the keyboard
    <div class="answer" tabIndex={0}>
      {children}
    </div>
  );
}

function Course({ steps, step }: { steps: PairCourse["steps"]; step: number }): JSX.Element {
  return (
    <details>
      <summary>Its log-probabilities over the evaluations, nats per token</summary>
      <Table
        head={["Step", "Chosen since the start", "Rejected since the start", "Chosen − rejected"]}
        numbers={[1]}
        lines={steps.map(({ step: at, chosen, rejected, margin }) => ({
          key: at,
          cells: [at, ...[chosen, rejected, margin].map(signedText)],
          class: at === step ? "at" : "",
        }))}
      />
    </details>
  );
}
