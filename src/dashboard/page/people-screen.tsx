/** Who labels, how far they agree, and a link for each. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Coefficient } from "../../stats/agreement.ts";
import type { PersonReport } from "../../workbench/people.ts";
import type { SentPeople } from "../bench-routes.ts";
import type { Role } from "../sessions.ts";
import { get, me, post } from "./api.ts";
import { intervalText, kappaText, type Sent, shareText, valueText } from "./judgment-texts.ts";
import { Empty, Problem, Waiting } from "./pieces.tsx";
import { addressOf } from "./place.ts";
import { Table } from "./table.tsx";

/** The screen. */
export function PeopleScreen(): JSX.Element {
  const [report, setReport] = useState<Sent<SentPeople> | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    get<Sent<SentPeople>>("/api/people")
      .then(setReport)
      .catch((error: Error) => setProblem(error.message));
  }, []);
  const isOwner = me.value?.role === "owner";
  if (report === null) return <Waiting problem={problem}>Reading judgments …</Waiting>;
  return (
    <>
      <h1>People</h1>
      {problem !== "" && <Problem text={problem} />}
      {report.findings.map(({ message }) => (
        <p class="note" key={message}>
          {message}
        </p>
      ))}
      {report.conflicts.length > 0 && (
        <p class="note">
          {report.conflicts.length} pairs are judged differently and not decided:{" "}
          <a href={addressOf(["data"], { show: "conflicts" })}>decide them</a>.
        </p>
      )}
      {report.agreement === null ? (
        <p class="soft">Agreement needs two people who judged the same pairs.</p>
      ) : (
        <>
          <div class="tiles">
            <Tile name="Raw agreement" value={report.agreement.raw} />
            {report.agreement.kappa !== null && <Tile name="Cohen's kappa" value={report.agreement.kappa} />}
            <Tile name="Gwet's AC1" value={report.agreement.ac1} />
            <Tile name="Krippendorff's alpha" value={report.agreement.alpha} />
          </div>
          <p class="soft">
            On {report.agreement.units} pairs that two people or more judged; in brackets 95&nbsp;% intervals.
            1 is agreement on everything, 0 what chance gives. Kappa is low where one answer is common even if
            people hardly differ: AC1 is not.
          </p>
        </>
      )}
      {report.people.length === 0 ? <Empty of="people" /> : <PeopleTable people={report.people} />}
      {report.unlisted !== 0 && (
        <p class="soft">
          {report.unlisted} who judged less: <code>preftune labels agreement</code>.
        </p>
      )}
      {isOwner && <LinkForm fail={setProblem} />}
    </>
  );
}

function Tile({ name, value }: { name: string; value: Sent<Coefficient> }): JSX.Element {
  return (
    <div class="tile">
      <b>{valueText(value.value)}</b>
      <span>
        {name} {intervalText(value)}
      </span>
    </div>
  );
}

function PeopleTable({ people }: { people: readonly Sent<PersonReport>[] }): JSX.Element {
  return (
    <Table
      isStacked
      head={[
        ...["Person", "Judged", "Skipped", "Kappa with the others", "Alike when it came back"],
        ...["Left side chosen", "Longer answer chosen", "Seconds"],
      ]}
      lines={people.map((one) => ({
        key: one.person,
        cells: [
          ...[one.person, one.labelled, one.skipped],
          kappaText(one.withOthers),
          ...[one.selfAgreement, one.left, one.longer].map(shareText),
          one.seconds === null ? "–" : one.seconds.toFixed(1),
        ],
      }))}
    />
  );
}

/** What a link opens. */
const linkRoles = {
  labeller: "opens labelling",
  viewer: "shows runs and data",
} as const satisfies Partial<Record<Role, string>>;

function LinkForm({ fail }: { fail: (problem: string) => void }): JSX.Element {
  const [name, setName] = useState("");
  const [role, setRole] = useState<keyof typeof linkRoles>("labeller");
  const [made, setMade] = useState<{ link: string; words: string } | null>(null);
  const make = (event: SubmitEvent): void => {
    event.preventDefault();
    const words = `${linkRoles[role]} for ${name}`;
    post<{ token: string }>("/api/links", { role, name })
      .then(({ token }) => setMade({ link: `${location.origin}/#token=${token}`, words }))
      .catch((error: Error) => fail(error.message));
  };
  return (
    <>
      <h2>A link for somebody</h2>
      <form class="bar" onSubmit={make}>
        <label for="person">Name</label>
        <input
          id="person"
          required
          maxLength={60}
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
        <label for="role">who is to</label>
        <select
          id="role"
          value={role}
          onChange={(event) => setRole(event.currentTarget.value === "viewer" ? "viewer" : "labeller")}
        >
          <option value="labeller">label</option>
          <option value="viewer">look</option>
        </select>
        <button type="submit">Make a link</button>
      </form>
      {made !== null && (
        <p>
          <code>{made.link}</code> {made.words} and nothing else. It works once; after the dashboard was
          started again, make another one of the same name.
        </p>
      )}
    </>
  );
}
