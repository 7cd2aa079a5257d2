/** The queue: what waits for a device, what was started from here, and what it has written. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { remove } from "./api.ts";
import { Empty, Problem, useAnswer, Waiting } from "./pieces.tsx";
import { addressOf } from "./place.ts";
import { useTick } from "./tick.ts";

interface Job {
  id: string;
  name: string;
  state: "queued" | "started" | "ended";
  isResume: boolean;
  device: string;
  status: number | null;
  run: string | null;
}

/** The screen. */
export function QueueScreen(): JSX.Element {
  const [removed, setRemoved] = useState(0);
  const { value, problem } = useAnswer<{ jobs: Job[] }>("/api/jobs", useTick(), removed);
  if (value === null || problem !== "") return <Waiting problem={problem}>Reading the queue …</Waiting>;
  return (
    <>
      <h1>Queue</h1>
      <p>
        <a href={addressOf(["start"])}>New run</a>
      </p>
      {value.jobs.length === 0 ? (
        <Empty of="queue" />
      ) : (
        value.jobs.map((job) => <JobCard key={job.id} job={job} onRemoved={() => setRemoved((n) => n + 1)} />)
      )}
    </>
  );
}

function JobCard({ job, onRemoved }: { job: Job; onRemoved: () => void }): JSX.Element {
  const [isOpen, setOpen] = useState(false);
  const [problem, setProblem] = useState("");
  const { id, name, run, device, isResume } = job;
  const take = (): void => {
    remove(`/api/jobs/${id}`)
      .then(onRemoved)
      .catch((error: Error) => setProblem(error.message));
  };
  return (
    <article class="pair" aria-label={name}>
      <h2>{run === null ? name : <a href={addressOf(["runs", run])}>{name}</a>}</h2>
      <p class="soft">
        {stateText(job)}; device {device}
        {isResume ? "; continues from its newest checkpoint" : ""}
      </p>
      <p class="bar">
        <button type="button" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          Output
        </button>
        {job.state !== "started" && (
          <button type="button" onClick={take}>
            {job.state === "queued" ? "Take out of the queue" : "Remove from this list"}
          </button>
        )}
      </p>
      {problem !== "" && <Problem text={problem} />}
      {isOpen && <Output id={id} />}
    </article>
  );
}

function stateText({ state, status }: Job): string {
  if (state === "queued") return "waits for its device";
  if (state === "started") return "runs";
  if (status === null) return "ended";
  return status === 0 ? "ended" : `ended with status ${status}`;
}

function Output({ id }: { id: string }): JSX.Element {
  const { value, problem } = useAnswer<{ output: string; yaml: string }>(`/api/jobs/${id}`, useTick());
  if (problem !== "") return <Problem text={problem} />;
  return (
    <pre class="answer">{value === null ? "…" : value.output === "" ? "nothing yet" : value.output}</pre>
  );
}
