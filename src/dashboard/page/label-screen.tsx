/** Two answers and the keys to judge them. Which model wrote which is not known here. */
import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Progress, ShownTexts, SidedVote } from "../../workbench/labelling.ts";
import { post } from "./api.ts";
import { useKeys } from "./keys.ts";
import { newKey } from "./pending-vote.ts";
import { Empty, Problem, Waiting } from "./pieces.tsx";
import { setQuery } from "./place.ts";
import { Inputs, TextView } from "./text-views.tsx";
import { order, useLabelling } from "./use-labelling.ts";

/** What is being written besides the verdict. */
type Writing = "nothing" | "note" | "reason" | "edit left" | "edit right";

const verdicts = [
  { key: "1", text: "Left much better", verdict: "left", strength: 2 },
  { key: "2", text: "Left better", verdict: "left", strength: 1 },
  { key: "3", text: "Equal", verdict: "tie", strength: 1 },
  { key: "4", text: "Right better", verdict: "right", strength: 1 },
  { key: "5", text: "Right much better", verdict: "right", strength: 2 },
  { key: "b", text: "Both bad", verdict: "bad", strength: 1 },
] as const;

/** What a key does that has a button too. */
interface Action {
  key: string;
  /** On its button. */
  text: string;
  /** In the list of keys; left out: what the button says. */
  what?: string;
  /** Whether what it switches is on; left out: it switches nothing. */
  isOn?: boolean;
  run: () => void;
}

const takeBack = "Take the last judgment back";

/** Said of a key or button that would drop what is being written. */
const unkept = "Finish or cancel first what you are writing.";

/** The longest time to a judgment that the server takes, ms: a page may lie open for days. */
const longestMs = 86_400_000;

/** A click, but not the second one of a double click: the pair that it finds has not been read. */
function onceOf(run: () => void): (event: MouseEvent) => void {
  return ({ detail }) => {
    if (detail < 2) run();
  };
}

/** The screen. */
export function LabelScreen(): JSX.Element {
  const { next, problem, rubric, vote, undo, fail } = useLabelling();
  if (next === null) return <Waiting problem={problem}>Looking for a pair …</Waiting>;
  return (
    <>
      <h1>Label</h1>
      {problem !== "" && <Problem text={problem} />}
      <ProgressBar progress={next.progress} />
      {rubric !== "" && (
        <details open>
          <summary>What to look at</summary>
          <p class="as-text">{rubric}</p>
        </details>
      )}
      {next.pair === null ? (
        <NothingLeft progress={next.progress} undo={undo} />
      ) : (
        <Pair key={next.pair.showing} pair={next.pair} send={vote} undo={undo} fail={fail} />
      )}
    </>
  );
}

function ProgressBar({ progress }: { progress: Progress }): JSX.Element {
  const { labelled, skipped, items, perHour } = progress;
  return (
    <p class="bar" role="status">
      <progress max={Math.max(1, items)} value={labelled + skipped} aria-label="Pairs judged" />
      <span>
        {labelled} of {items} judged{skipped > 0 && `, ${skipped} skipped`}
        {perHour !== null && `, ${perHour} an hour`}
      </span>
    </p>
  );
}

function NothingLeft({ progress, undo }: { progress: Progress; undo: () => void }): JSX.Element {
  useKeys([{ key: "u", what: takeBack, run: undo }], [progress.last]);
  return (
    <>
      <Empty of={progress.items === 0 ? "unjudged" : "judged"} />
      {progress.items > 0 && (
        <button type="button" onClick={onceOf(undo)}>
          Undo <kbd>u</kbd>
        </button>
      )}
    </>
  );
}

interface PairProps {
  pair: ShownTexts;
  send: (vote: SidedVote) => Promise<void>;
  undo: () => void;
  fail: (problem: string) => void;
}

function Pair({ pair, send, undo, fail }: PairProps): JSX.Element {
  const [writing, setWriting] = useState<Writing>("nothing");
  const [note, setNote] = useState(pair.note);
  const [isRendered, setRendered] = useState(false);
  const [isDiffered, setDiffered] = useState(false);
  const [isFlagged, setFlagged] = useState(pair.isFlagged);
  const isUnsure = order() === "uncertain";
  const began = useRef(performance.now());
  const isUnderWay = useRef(false);
  const say = (vote: Pick<SidedVote, "verdict"> & Partial<SidedVote>): void => {
    // a second press before the answer is none
    if (isUnderWay.current) return;
    isUnderWay.current = true;
    const ms = Math.min(longestMs, Math.round(performance.now() - began.current));
    void send({ showing: pair.showing, key: newKey(), ms, ...vote }).finally(() => {
      isUnderWay.current = false;
    });
  };
  // another pair or box would take the place of the one that is open
  const unlessWriting = (run: () => void) => (): void => (writing === "nothing" ? run() : fail(unkept));
  const judge = (vote: Pick<SidedVote, "verdict"> & Partial<SidedVote>): (() => void) =>
    unlessWriting(() => say(vote));
  const write = (what: Writing): (() => void) => unlessWriting(() => setWriting(what));
  const setFlag = (): void => {
    post("/api/label/flag", { showing: pair.showing, isSet: !isFlagged })
      .then(() => setFlagged(!isFlagged))
      .catch((error: Error) => fail(error.message));
  };
  const actions: readonly Action[] = [
    ...verdicts.map(({ key, text, verdict, strength }) => ({
      ...{ key, text },
      run: judge({ verdict, strength }),
    })),
    { key: "s", text: "Skip", what: "Skip, with a reason", run: write("reason") },
    { key: "u", text: "Undo", what: takeBack, run: unlessWriting(undo) },
    { key: "n", text: "Note", run: write("note") },
    { key: "f", text: isFlagged ? "Flagged" : "Flag", isOn: isFlagged, run: setFlag },
    {
      ...{ key: "e", text: "Edit left" },
      what: "Edit the left answer: the edited one becomes the chosen one",
      run: write("edit left"),
    },
    { key: "E", text: "Edit right", what: "Edit the right answer", run: write("edit right") },
    {
      ...{ key: "d", text: "Differences", what: "Mark what differs", isOn: isDiffered },
      run: () => setDiffered((is) => !is),
    },
    {
      ...{ key: "r", text: "Rendered", what: "Rendered or as it is", isOn: isRendered },
      run: () => setRendered((is) => !is),
    },
    {
      ...{ key: "o", text: "Unsure first", isOn: isUnsure },
      what: "From the next pairs on: those first of which a judge or model is unsure",
      run: () => setQuery({ unsure: isUnsure ? "" : "1" }),
    },
  ];
  useKeys(
    [
      ...actions.map(({ key, text, what = text, run }) => ({ key, what, run })),
      { key: "ArrowLeft", what: "Left better", run: judge({ verdict: "left" }) },
      { key: "ArrowRight", what: "Right better", run: judge({ verdict: "right" }) },
    ],
    [pair.showing, isFlagged, isUnsure, writing],
  );
  const { inputs, prompt, left, right } = pair;
  const look = (other: string) => ({ isRendered, against: isDiffered ? other : null });
  return (
    <>
      <section class="bench-prompt" aria-label="Prompt">
        <h2>Prompt</h2>
        <Inputs text={inputs} />
        <TextView text={prompt} look={{ isRendered, against: null }} />
      </section>
      <div class="sides">
        <section class="bench-answer" aria-label="Left answer">
          <h2>Left</h2>
          <TextView text={left} look={look(right)} />
        </section>
        <section class="bench-answer" aria-label="Right answer">
          <h2>Right</h2>
          <TextView text={right} look={look(left)} />
        </section>
      </div>
      <WritingBox
        {...{ writing, pair, note, setNote, say, fail }}
        close={() => {
          setWriting((now) => (now === writing ? "nothing" : now));
          fail("");
        }}
      />
      <fieldset class="verdicts" aria-label="Judgment">
        {actions.map(({ key, text, isOn, run }) => (
          <button key={key} type="button" aria-pressed={isOn} onClick={onceOf(run)}>
            {text} <kbd>{key}</kbd>
          </button>
        ))}
      </fieldset>
    </>
  );
}

interface WritingProps {
  writing: Writing;
  pair: ShownTexts;
  note: string;
  /** Hears the note that the server has taken. */
  setNote: (text: string) => void;
  say: (vote: Pick<SidedVote, "verdict"> & Partial<SidedVote>) => void;
  fail: (problem: string) => void;
  close: () => void;
}

const labels: Readonly<Record<Writing, string>> = {
  nothing: "",
  note: "Note on this pair",
  reason: "Why is it skipped?",
  "edit left": "The left answer as it should be",
  "edit right": "The right answer as it should be",
};

function WritingBox({ writing, pair, note, setNote, say, fail, close }: WritingProps): JSX.Element | null {
  const field = useRef<HTMLTextAreaElement>(null);
  // an effect after the painting would leave quick keys to the screen
  useLayoutEffect(() => field.current?.focus(), [writing]);
  if (writing === "nothing") return null;
  const side = writing === "edit left" ? "left" : "right";
  const before = writing === "note" ? note : writing === "reason" ? "" : pair[side];
  const done = (): void => {
    const text = field.current?.value.trim() ?? "";
    if (writing === "reason") say({ verdict: "skip", reason: text });
    else if (writing === "note") {
      post("/api/label/note", { showing: pair.showing, text })
        .then(() => {
          setNote(text);
          close();
        })
        .catch((error: Error) => fail(error.message));
    } else if (text !== "") say({ verdict: side, edit: { side, text } });
  };
  return (
    <form
      class="ask"
      onSubmit={(event) => {
        event.preventDefault();
        done();
      }}
    >
      <label for="writing">{labels[writing]}</label>
      <textarea
        id="writing"
        ref={field}
        rows={writing === "reason" ? 2 : 8}
        defaultValue={before}
        onKeyDown={(event) => {
          if (event.key === "Escape") close();
          if (event.key === "Enter" && event.ctrlKey) done();
        }}
      />
      <span class="bar">
        <button class="main" type="submit">
          {writing === "note" ? "Keep the note" : writing === "reason" ? "Skip" : "This is the better answer"}
        </button>
        <button type="button" onClick={close}>
          Cancel
        </button>
      </span>
    </form>
  );
}
