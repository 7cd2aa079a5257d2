/** One prompt, two answers side by side, a vote, and then who was who. */
import type { JSX, RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { BattlePiece } from "../arena.ts";
import type { ArenaView } from "../arena-routes.ts";
import { get, post, postForStream } from "./api.ts";
import { useKeys } from "./keys.ts";
import { Options } from "./pieces.tsx";
import { asItIs, TextView } from "./text-views.tsx";

interface Shown {
  battle: string;
  left: string;
  right: string;
  isDone: boolean;
}

interface Contestants {
  battle: string;
  left: string;
  right: string;
}

const verdicts = [
  { key: "ArrowLeft", name: "←", text: "Left better", verdict: "left" },
  { key: "=", name: "=", text: "Equal", verdict: "tie" },
  { key: "ArrowRight", name: "→", text: "Right better", verdict: "right" },
  { key: "b", name: "b", text: "Both bad", verdict: "bad" },
] as const;

const nothing: ArenaView = { rates: [], missing: "", names: [], cost: "" };

/** The screen. */
export function ArenaScreen(): JSX.Element {
  const [{ rates, missing, names, cost }, setView] = useState<ArenaView>(nothing);
  const [shown, setShown] = useState<Shown | null>(null);
  const [named, setNamed] = useState<Contestants | null>(null);
  const [problem, setProblem] = useState("");
  const [loading, setLoading] = useState<number | null>(null);
  const [isStreaming, setStreaming] = useState(false);
  const prompt = useRef<HTMLTextAreaElement>(null);
  const pair = useRef<HTMLSelectElement>(null);
  const voted = useRef("");
  const fail = (error: Error): void => setProblem(error.message);
  const load = (): void => void get<ArenaView>("/api/arena").then(setView, fail);
  useEffect(load, []);
  const begin = (): void => {
    const text = prompt.current?.value.trim() ?? "";
    if (text === "" || isStreaming) return;
    setProblem("");
    setShown({ battle: "", left: "", right: "", isDone: false });
    setStreaming(true);
    const met = JSON.parse(pair.current?.value || "null") as string[] | null;
    battle({ prompt: text, ...(met && { pair: met }) }, (piece) => {
      setLoading("loading" in piece ? piece.loading : null);
      if ("problem" in piece) setProblem(piece.problem);
      else setShown((before) => before && withPiece(before, piece));
    })
      .catch(fail)
      .finally(() => {
        setLoading(null);
        setStreaming(false);
      });
  };
  // the answer to a vote may come when the next battle is shown
  const contestants = named !== null && named.battle === shown?.battle ? named : null;
  const vote = (verdict: string): void => {
    if (shown?.isDone !== true || contestants !== null || voted.current === shown.battle) return;
    const judged = { battle: shown.battle };
    // a second press before the answer is the same press
    voted.current = judged.battle;
    const retry = (error: Error): void => {
      if (voted.current === judged.battle) voted.current = "";
      fail(error);
    };
    post<Omit<Contestants, "battle">>("/api/arena/votes", { ...judged, verdict }).then((answer) => {
      setNamed({ ...judged, ...answer });
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
      {cost !== "" && <p class="note">{cost}</p>}
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
          <Pairs names={names} chosen={pair} />
          <button class="main" type="submit" disabled={isStreaming}>
            Ask two contestants
          </button>
          <kbd>Ctrl Enter</kbd>
        </span>
      </form>
      <p role="status">{loading !== null && `Loading models: ${loading} s`}</p>
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

/** Who meets: two of the contestants, or any. */
function Pairs({
  names,
  chosen,
}: {
  names: readonly string[];
  chosen: RefObject<HTMLSelectElement | null>;
}): JSX.Element {
  const pairs = names.flatMap((one, i) => names.slice(i + 1).map((other) => [one, other]));
  return (
    <select ref={chosen} aria-label="Who meets">
      <option value="">any two</option>
      <Options of={pairs.map((pair) => [JSON.stringify(pair), pair.join(", ")] as const)} />
    </select>
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
      <TextView text={text} look={asItIs} />
    </section>
  );
}

function Rates({ rates }: Pick<ArenaView, "rates">): JSX.Element {
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
  return { ...before, isDone: "done" in piece };
}

/** Reads the lines of a battle as they come. */
async function battle(
  asked: { prompt: string; pair?: string[] },
  onPiece: (piece: BattlePiece) => void,
): Promise<void> {
  const { body } = await postForStream("/api/arena/battles", asked);
  if (body === null) return;
  let rest = "";
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const lines = (rest + piece.value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onPiece(JSON.parse(line) as BattlePiece);
  }
}
