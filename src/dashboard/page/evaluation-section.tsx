/** What an evaluation shows besides its figures: how each pair moved, how likely rejected tokens are, what the model answers. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { MovedPair, ShownEvaluation } from "../run-sections.ts";
import { useKeys } from "./keys.ts";
import { PairView } from "./pair-view.tsx";
import { AnswerBox, Problem, ServerHtml, useAnswer } from "./pieces.tsx";
import { setQuery } from "./place.ts";
import { Table } from "./table.tsx";
import { signedText } from "./texts.ts";

interface Props {
  run: string;
  steps: readonly number[];
  /** The step that the address asks for; null: the last. */
  asked: number | null;
  /** The row whose text is shown; null: none. */
  pair: string | null;
}

/** Both sections; nothing before the first evaluation. */
export function EvaluationSections({ run, steps, asked, pair }: Props): JSX.Element | null {
  const last = steps.at(-1);
  const step = asked !== null && steps.includes(asked) ? asked : last;
  const { value, problem, isOld } = useAnswer<ShownEvaluation>(
    step === undefined ? null : `/api/runs/${run}/evaluations/${step}`,
  );
  const go = (by: number): void => {
    const next = steps[steps.indexOf(step ?? 0) + by];
    if (next !== undefined) setQuery({ at: next === last ? "" : String(next) });
  };
  useKeys(
    [
      { key: "[", what: "Evaluation before", repeats: true, run: () => go(-1) },
      { key: "]", what: "Next evaluation", repeats: true, run: () => go(1) },
    ],
    [step, steps.length],
  );
  if (step === undefined) return null;
  if (problem !== "") return <Problem text={problem} />;
  if (value === null) return null;
  return (
    <>
      <section>
        <h2 id="pairs">{value.pairs.length > 0 ? "Pairs" : "Evaluations"}</h2>
        <StepChoice step={step} steps={steps} go={go} />
        <AnswerBox isOld={isOld}>
          {/* biome-ignore lint/a11y/noStaticElementInteractions lint/a11y/useKeyWithClickEvents: for keys there is the table below */}
          <div class="charts" onClick={(event) => choosePair(event, value.pairs)}>
            <ServerHtml html={value.quadrants} class="contents" />
            <ServerHtml html={value.rejected} class="contents" />
          </div>
          <PairTable pairs={value.pairs} chosen={pair} />
        </AnswerBox>
        {pair !== null && <PairView key={pair} run={run} pair={pair} step={step} />}
      </section>
      {value.answers !== "" && (
        <section>
          <h2 id="answers">What does the model answer?</h2>
          <AnswerBox isOld={isOld}>
            <ServerHtml html={value.answers} />
            <p class="soft">
              The first evaluation beside that of step {step}; words that the other lacks are marked.
            </p>
          </AnswerBox>
        </section>
      )}
    </>
  );
}

/** A dot of the picture is its pair. */
function choosePair(event: Event, pairs: readonly MovedPair[]): void {
  if (!(event.target instanceof Element)) return;
  const at = event.target.closest("[data-pair]")?.getAttribute("data-pair");
  const key = at === null || at === undefined ? "" : (pairs[Number(at)]?.key ?? "");
  if (key !== "") setQuery({ pair: key });
}

interface StepProps {
  step: number;
  steps: readonly number[];
  go: (by: number) => void;
}

function StepChoice({ step, steps, go }: StepProps): JSX.Element {
  return (
    <p class="bar">
      <label>
        Evaluation at step{" "}
        <select value={step} onChange={(event) => setQuery({ at: event.currentTarget.value })}>
          {steps.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </label>
      <button type="button" onClick={() => go(-1)} disabled={step === steps[0]}>
        Before <kbd>[</kbd>
      </button>
      <button type="button" onClick={() => go(1)} disabled={step === steps.at(-1)}>
        Next <kbd>]</kbd>
      </button>
    </p>
  );
}

/** In which order pairs are listed. */
const orders: Readonly<Record<string, (a: MovedPair, b: MovedPair) => number>> = {
  "chosen fell most": (a, b) => a.chosen - b.chosen,
  "chosen rose most": (a, b) => b.chosen - a.chosen,
  "rejected rose most": (a, b) => b.rejected - a.rejected,
  "smallest margin": (a, b) => (a.margin ?? 0) - (b.margin ?? 0),
};

/** Pairs that are listed at once. */
const listed = 8;

function PairTable({
  pairs,
  chosen,
}: {
  pairs: readonly MovedPair[];
  chosen: string | null;
}): JSX.Element | null {
  const [order, setOrder] = useState("chosen fell most");
  const [count, setCount] = useState(listed);
  const known = pairs.filter(({ key }) => key !== "");
  if (known.length === 0) return null;
  const sorted = known.toSorted(orders[order] ?? (() => 0));
  return (
    <>
      <p class="bar">
        <label>
          Pairs by{" "}
          <select value={order} onChange={(event) => setOrder(event.currentTarget.value)}>
            {Object.keys(orders).map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </p>
      <Table
        head={["Row", "Chosen", "Rejected", "Margin now"]}
        numbers={[1]}
        lines={sorted.slice(0, count).map(({ key, place, chosen: up, rejected, margin }) => ({
          key,
          cells: [
            <button key="pair" type="button" class="link" onClick={() => setQuery({ pair: key })}>
              {place}
            </button>,
            ...[up, rejected, margin].map(signedText),
          ],
          class: key === chosen ? "at" : "",
        }))}
      />
      {count < known.length && (
        <button type="button" onClick={() => setCount(count + 40)}>
          More of {known.length} pairs
        </button>
      )}
    </>
  );
}
