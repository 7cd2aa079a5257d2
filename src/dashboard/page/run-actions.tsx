/** What can be done to a run: stop, resume, duplicate with changes. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Summary } from "../run-summary.ts";
import { mayChange, post } from "./api.ts";
import { useKeys } from "./keys.ts";
import { MarkActions } from "./marks.tsx";
import { Problem } from "./pieces.tsx";
import { goTo } from "./place.ts";

/** States from which a run continues. */
const resumable: readonly Summary["state"][] = ["stopped", "failed", "killed", "left"];

/** The buttons; nothing for who may only look. */
export function RunActions({ run }: { run: Summary }): JSX.Element | null {
  const [said, setSaid] = useState("");
  const [problem, setProblem] = useState("");
  const [isResuming, setResuming] = useState(false);
  const isOwner = mayChange();
  const { id, state } = run;
  useEffect(() => setResuming(false), [id, state]);
  const act = (path: string, words: string): void => {
    setProblem("");
    post(path, {})
      .then(() => setSaid(words))
      .catch((error: Error) => {
        setResuming(false);
        setProblem(error.message);
      });
  };
  const stop = (): void =>
    act(`/api/runs/${id}/stop`, "Asked to stop: it ends after its step, with a checkpoint.");
  const resume = (): void => {
    // until the run's state changes: a second press would start it again after it was stopped
    setResuming(true);
    act(`/api/runs/${id}/resume`, "In the queue, to continue from its newest checkpoint.");
  };
  const duplicate = (): void => goTo(["start"], { run: id });
  useKeys(isOwner ? [{ key: "d", what: "Duplicate with changes", run: duplicate }] : [], [id, isOwner]);
  if (!isOwner) return null;
  return (
    <>
      <div class="bar">
        {state === "running" && (
          <button type="button" onClick={stop}>
            Stop
          </button>
        )}
        {resumable.includes(state) && (
          <button type="button" disabled={isResuming} onClick={resume}>
            Resume
          </button>
        )}
        <button type="button" onClick={duplicate}>
          Duplicate with changes
        </button>
        <MarkActions key={id} run={run} />
        <span role="status" class="soft">
          {said}
        </span>
      </div>
      {problem !== "" && <Problem text={problem} />}
    </>
  );
}
