/** The tokens of a pair's answers, shaded by how likely they are: then, now, and what changed. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { AnswerTokens } from "../../runs/pair-tokens.ts";
import type { ShownTokens } from "../run-routes.ts";
import { Options } from "./pieces.tsx";
import { signedText } from "./texts.ts";

const shades = { change: "what changed", now: "how likely now", before: "how likely at the start" } as const;
type Shade = keyof typeof shades;

/** Nats that a shade stands for, up to four. */
const nats = { change: 0.5, now: 1.5, before: 1.5 } as const;
const deepest = 4;

/** Tokens that are named in words below an answer. */
const named = 3;

/** The section; says what it takes where the run kept no tokens of this pair. */
export function PairTokens({ tokens }: { tokens: ShownTokens | null }): JSX.Element {
  const [shade, setShade] = useState<Shade>("change");
  if (tokens === null) {
    return (
      <p class="soft">
        The run kept no log-probabilities of this pair's single tokens: it is of an earlier version, or past
        the first 50,000 tokens. <code>preftune score --per-token</code> gives those of any file.
      </p>
    );
  }
  const { start, step, chosen, rejected } = tokens;
  return (
    <section aria-label="Tokens">
      <p class="bar">
        <label>
          Tokens shaded by{" "}
          <select value={shade} onChange={(event) => setShade(event.currentTarget.value as Shade)}>
            <Options of={Object.entries(shades)} />
          </select>
        </label>
        <span class="soft">
          start: step {start}, now: step {step}; <mark class="fell-3">less likely</mark>{" "}
          {shade === "change" && <mark class="rose-3">more likely</mark>}
        </span>
      </p>
      <div class="sides">
        <Answer title="Chosen" tokens={chosen} shade={shade} />
        <Answer title="Rejected" tokens={rejected} shade={shade} />
      </div>
    </section>
  );
}

function Answer({
  title,
  tokens,
  shade,
}: {
  title: string;
  tokens: AnswerTokens;
  shade: Shade;
}): JSX.Element {
  const { texts, before, now } = tokens;
  const changes = now.map((logp, i) => logp - (before[i] ?? Number.NaN));
  const fallen = changes
    .map((change, i) => ({ change, i }))
    .filter(({ change }) => change < 0)
    .toSorted((a, b) => a.change - b.change)
    .slice(0, named);
  return (
    <div>
      <h4>{title}</h4>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be reached by the keyboard */}
      <div class="answer" tabIndex={0}>
        {texts.map((text, i) => (
          <span
            key={i}
            class={classOf(shade, { before: before[i] ?? 0, now: now[i] ?? 0 })}
            title={`${signedText(before[i] ?? null)} then, ${signedText(now[i] ?? null)} now`}
          >
            {text}
          </span>
        ))}
      </div>
      <p class="soft">
        {fallen.length === 0
          ? "No token became less likely."
          : `Less likely since the start, nats: ${fallen
              .map(({ change, i }) => `${JSON.stringify(texts[i])} ${signedText(change)}`)
              .join(", ")}`}
      </p>
    </div>
  );
}

function classOf(shade: Shade, { before, now }: { before: number; now: number }): string {
  const value = { change: now - before, now, before }[shade];
  const depth = Math.min(deepest, Math.floor(Math.abs(value) / nats[shade]));
  if (depth === 0 || Number.isNaN(depth)) return "";
  return `${value < 0 ? "fell" : "rose"}-${depth}`;
}
