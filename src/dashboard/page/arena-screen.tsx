/** One prompt, two answers side by side, a vote, and then who was who. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { WinRate } from "../../workbench/battle.ts";
import type { BattlePiece } from "../arena.ts";
import { get, post } from "./api.ts";
import { useKeys } from "./keys.ts";
import { TextView } from "./text-views.tsx";

interface Shown {
  battle: string;
  left: string;
  right: string;
  isDone: boolean;
}

interface Contestants {
  left: string;
  right: string;
}

const verdicts = [
  { key: "ArrowLeft", name: "←", text: "Left better", verdict: "left" },
  { key: "=", name: "=", text: "Equal", verdict: "tie" },
  { key: "ArrowRight", name: "→", text: "Right better", verdict: "right" },
  { key: "b", name: "b", text: "Both bad", verdict: "bad" },
] as const;

/** The screen. */
export function ArenaScreen(): JSX.Element {
  const [rates, setRates] = useState<readonly WinRate[]>([]);
  const [missing, setMissing] = useState("");
  const [shown, setShown] = useState<Shown | null>(null);
  const [contestants, setVoices] = useState<Contestants | null>(null);
  const [problem, setProblem] = useState("");
  const [isStreaming, setStreaming] = useState(false);
  const prompt = useRef<HTMLTextAreaElement>(null);
  const voted = useRef("");
  const fail = (error: Error): void => setProblem(error.message);
  const load = (): void => {
    get<{ rates: WinRate[]; missing: string }>("/api/arena").then((answer) => {
      setRates(answer.rates);
      setMissing(answer.missing);
    }, fail);
  };
  useEffect(load, []);
  const begin = (): void => {
    const text = prompt.current?.value.trim() ?? "";
    if (text === "" || isStreaming) return;
    setProblem("");
    setVoices(null);
    setShown({ battle: "", left: "", right: "", isDone: false });
    setStreaming(true);
    battle(text, (piece) => {
      if ("problem" in piece) setProblem(piece.problem);
      else setShown((before) => before && withPiece(before, piece));
    })
      .catch(fail)
      .finally(() => setStreaming(false));
  };
  const vote = (verdict: string): void => {
    if (shown?.isDone !== true || contestants !== null || voted.current === shown.battle) return;
    // a second press before the answer is the same press
    voted.current = shown.battle;
    const retry = (error: Error): void => {
      voted.current = "";
      fail(error);
    };
    post<Contestants>("/api/arena/votes", { battle: shown.battle, verdict }).then((answer) => {
      setVoices(answer);
      load();
    }, retry);
  };
  useKeys(
    verdicts.map(({ key, text, verdict }) => ({ key, what: text, run: () => vote(verdict) })),
    [shown?.isDone, shown?.battle, contestants],
  );
  const isOpen = shown?.isDone === true && contestants === null;
  return (
    <>
      <h1>Arena</h1>
      {missing !== "" && <p class="empty as-text">{missing}</p>}
      {problem !== "" && <p class="note bad as-text">{problem}</p>}
      <form
        class="files"
        onSubmit={(event) => {
          event.preventDefault();
          begin();
        }}
      >
        <label for="arena-prompt">Prompt</label>
        <textarea
          id="arena-prompt"
          ref={prompt}
          onKeyDown={(event) => {
            if (event.key === "Enter" && event.ctrlKey) begin();
          }}
        />
        <span class="bar">
          <button class="main" type="submit" disabled={isStreaming}>
            Ask two contestants
          </button>
          <kbd>Ctrl Enter</kbd>
        </span>
      </form>
      {shown !== null && (
        <>
          <div class="sides" aria-busy={isStreaming}>
            <Side name="Left" text={shown.left} contestant={contestants?.left} />
            <Side name="Right" text={shown.right} contestant={contestants?.right} />
          </div>
          <fieldset class="verdicts" aria-label="Judgment" disabled={!isOpen}>
            {verdicts.map(({ name, text, verdict }) => (
              <button key={verdict} type="button" onClick={() => vote(verdict)}>
                {text} <kbd>{name}</kbd>
              </button>
            ))}
          </fieldset>
        </>
      )}
      {rates.length > 0 && <Rates rates={rates} />}
    </>
  );
}

function Side({
  name,
  text,
  contestant,
}: {
  name: string;
  text: string;
  contestant: string | undefined;
}): JSX.Element {
  return (
    <section class="bench-answer" aria-label={`${name} answer`}>
      <h2>
        {name}
        {contestant !== undefined && `: ${contestant}`}
      </h2>
      <TextView text={text} look={{ isRendered: false, against: null }} />
    </section>
  );
}

function Rates({ rates }: { rates: readonly WinRate[] }): JSX.Element {
  return (
    <>
      <h2>Who wins</h2>
      <ul>
        {rates.map(({ one, other, rate, low, high, pairs, judgments }) => (
          <li key={`${one} ${other}`}>
            {one} over {other}: {(100 * rate).toFixed(0)} % [{(100 * low).toFixed(0)},{" "}
            {(100 * high).toFixed(0)}] of {pairs} pairs, {judgments} judgments
          </li>
        ))}
      </ul>
      <p class="soft">
        Each pair counts as the mean of its judgments, equal ones as half, two bad answers not at all; in
        brackets 95 % intervals over pairs. Only pairs that came in random order count, those of the Label
        screen too.
      </p>
    </>
  );
}

function withPiece(before: Shown, piece: Exclude<BattlePiece, { problem: string }>): Shown {
  if ("battle" in piece) return { ...before, battle: piece.battle };
  if ("left" in piece) return { ...before, left: before.left + piece.left };
  if ("right" in piece) return { ...before, right: before.right + piece.right };
  return { ...before, isDone: true };
}

/** Reads the lines of a battle as they come. */
async function battle(prompt: string, onPiece: (piece: BattlePiece) => void): Promise<void> {
  const response = await fetch("/api/arena/battles", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ prompt }),
  });
  if (!response.ok || response.body === null) {
    const { error = `The dashboard answered with status ${response.status}.` } = (await response.json()) as {
      error?: string;
    };
    throw new Error(error);
  }
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const lines = (rest + piece.value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onPiece(JSON.parse(line) as BattlePiece);
  }
}
