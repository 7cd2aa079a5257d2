/** Rounds: the list, and one as a graph whose nodes open what they made. What is shown is made by the server. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Rounds, ShownRound } from "../round-routes.ts";
import { get, mayChange, post } from "./api.ts";
import { Pager } from "./pager.tsx";
import { AnswerBox, Empty, Problem, ServerHtml, useAnswer, Waiting } from "./pieces.tsx";
import { addressOf, goTo, place } from "./place.ts";
import { useTick } from "./tick.ts";

/** The list. */
export function RoundsScreen(): JSX.Element {
  const { value, problem } = useAnswer<Rounds>("/api/rounds");
  if (value === null || problem !== "") return <Waiting problem={problem}>Reading rounds …</Waiting>;
  return (
    <>
      <h1>Rounds</h1>
      {value.html === "" && <Empty of="rounds" />}
      <ServerHtml html={value.html} />
      {mayChange() && <NewRound yaml={value.example} />}
    </>
  );
}

function NewRound({ yaml, isOpen = false }: { yaml: string; isOpen?: boolean }): JSX.Element {
  const [text, setText] = useState(yaml);
  const [problem, setProblem] = useState("");
  const start = (): void => {
    post("/api/rounds", { yaml: text })
      .then(() => goTo(["queue"]))
      .catch((error: Error) => setProblem(error.message));
  };
  return (
    <details open={isOpen}>
      <summary>{isOpen ? "Next round" : "New round"}</summary>
      {problem !== "" && <Problem text={problem} />}
      <div class="files">
        <label for="round">The round's file</label>
        <textarea id="round" rows={10} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        <span>
          <button type="button" class="main" onClick={start}>
            Start
          </button>
        </span>
      </div>
    </details>
  );
}

/** One round. */
export function RoundScreen({ id }: { id: string }): JSX.Element {
  const { query } = place.value;
  const show = query.get("show") ?? "";
  const from = Number(query.get("from") ?? 0) || 0;
  const asked = new URLSearchParams({ show: show || "comparison", from: String(from) });
  const [stops, setStops] = useState(0);
  const { value, problem, isOld } = useAnswer<ShownRound>(`/api/rounds/${id}?${asked}`, useTick(), stops);
  const [next, setNext] = useState("");
  const [refused, setRefused] = useState("");
  if (value === null) return <Waiting problem={problem}>Reading the round …</Waiting>;
  const fail = (error: Error): void => setRefused(error.message);
  const act = (word: string, then: () => void): void => {
    post(`/api/rounds/${id}/${word}`, {}).then(then).catch(fail);
  };
  const { name, state, isAtWork, waiting, problem: ended, graph, html, total } = value;
  return (
    <>
      <h1>{name}</h1>
      <p class="soft" role="status">
        {state}
      </p>
      {[problem, refused, ended].map((text) => text !== "" && <Problem text={text} />)}
      {waiting !== "" && <p class="note">{waiting}</p>}
      {mayChange() && (
        <p class="bar">
          {isAtWork ? (
            <button type="button" onClick={() => act("stop", () => setStops((n) => n + 1))}>
              Stop
            </button>
          ) : state === "finished" ? (
            <button
              type="button"
              onClick={() =>
                get<{ yaml: string }>(`/api/rounds/${id}/next`).then(({ yaml }) => setNext(yaml), fail)
              }
            >
              Next round
            </button>
          ) : (
            <button type="button" class="main" onClick={() => act("continue", () => goTo(["queue"]))}>
              Continue
            </button>
          )}
        </p>
      )}
      {next !== "" && <NewRound yaml={next} isOpen />}
      <ServerHtml html={graph} />
      <p class="bar">
        {["comparison", "check", "answers"].map((part) => (
          <a
            key={part}
            href={addressOf(["rounds", id], { show: part })}
            aria-current={part === (show || "comparison") ? "true" : undefined}
          >
            {part === "check" ? "data check" : part}
          </a>
        ))}
      </p>
      <AnswerBox isOld={isOld}>
        <ServerHtml html={html} />
        {total > 0 && (
          <p class="bar">
            <Pager from={from} total={total} />
          </p>
        )}
      </AnswerBox>
    </>
  );
}
