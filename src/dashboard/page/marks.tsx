/** Tags, put away, the baseline: what an owner says of a run on its own screen. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { RunMarks } from "../run-marks.ts";
import type { Summary } from "../run-summary.ts";
import { post } from "./api.ts";
import { Problem } from "./pieces.tsx";

/** Says something of a run. @returns the run as it is now */
export async function setMarks(run: string, change: Partial<RunMarks>): Promise<Summary> {
  return await post<Summary>(`/api/runs/${run}/marks`, change);
}

/** The buttons and the field. */
export function MarkActions({ run }: { run: Summary }): JSX.Element {
  const [marks, setNow] = useState<RunMarks>(run);
  const [tags, setTags] = useState(run.tags.join(" "));
  const [problem, setProblem] = useState("");
  const change = (what: Partial<RunMarks>): void => {
    setProblem("");
    setMarks(run.id, what)
      .then((now) => {
        setNow(now);
        if (what.tags !== undefined) setTags(now.tags.join(" "));
      })
      .catch((error: Error) => setProblem(error.message));
  };
  const words = tags.split(/[\s,]+/).filter(Boolean);
  const save = (event: Event): void => {
    event.preventDefault();
    change({ tags: words });
  };
  const { isArchived, isBaseline } = marks;
  return (
    <form class="bar inner" onSubmit={save}>
      <button type="button" onClick={() => change({ isBaseline: !isBaseline })}>
        {isBaseline ? "Unpin the baseline" : "Pin as baseline"}
      </button>
      <button type="button" onClick={() => change({ isArchived: !isArchived })}>
        {isArchived ? "Take out of the archive" : "Archive"}
      </button>
      <label>
        Tags{" "}
        <input
          type="text"
          autocomplete="off"
          value={tags}
          onInput={(event) => setTags(event.currentTarget.value)}
        />
      </label>
      <button type="submit" disabled={words.join() === marks.tags.join()}>
        Save tags
      </button>
      {problem !== "" && <Problem text={problem} />}
    </form>
  );
}
