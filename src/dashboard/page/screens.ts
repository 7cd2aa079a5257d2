/**
 * The screens of the page. To add one: a file in this folder that exports a component, and its line here. What it shows it asks of
 * routes, which are added as `route.ts` says; its keys it names by `useKeys`.
 */
import type { ComponentType } from "preact";
import type { Role } from "../sessions.ts";
import { ArenaScreen } from "./arena-screen.tsx";
import { CompareScreen } from "./compare-screen.tsx";
import { DataScreen } from "./data-screen.tsx";
import { JudgeScreen } from "./judge-screen.tsx";
import { LabelScreen } from "./label-screen.tsx";
import { PeopleScreen } from "./people-screen.tsx";
import type { Place } from "./place.ts";
import { QueueScreen } from "./queue-screen.tsx";
import { RunScreen } from "./run-screen.tsx";
import { RunsScreen } from "./runs-screen.tsx";
import { StartScreen } from "./start-screen.tsx";
import { VersionScreen } from "./version-screen.tsx";

/** A screen. */
export interface Screen {
  /** First part of its address; with a second part `one` is shown. */
  path: string;
  /** Its name at the top of the page, and the key that leads there. */
  title: string;
  key: string;
  roles: readonly Role[];
  view: ComponentType<{ place: Place }>;
  /** What shows a single thing, `#/path/id`; left out: there is none. */
  one?: ComponentType<{ id: string }>;
}

/** All screens, in the order of the top of the page; the first that a person may see is shown at the start. */
export const screens: readonly Screen[] = [
  {
    ...{ path: "runs", title: "Runs", key: "1", roles: ["owner", "viewer"] },
    ...{ view: RunsScreen, one: RunScreen },
  },
  { path: "compare", title: "Compare", key: "4", roles: ["owner", "viewer"], view: CompareScreen },
  { path: "start", title: "New run", key: "2", roles: ["owner"], view: StartScreen },
  { path: "queue", title: "Queue", key: "3", roles: ["owner"], view: QueueScreen },
  { ...{ path: "label", title: "Label", key: "l", roles: ["owner", "labeller"] }, view: LabelScreen },
  { ...{ path: "arena", title: "Arena", key: "b", roles: ["owner"] }, view: ArenaScreen },
  {
    ...{ path: "data", title: "Data", key: "a", roles: ["owner", "viewer"] },
    ...{ view: DataScreen, one: VersionScreen },
  },
  { ...{ path: "judge", title: "Judge", key: "g", roles: ["owner", "viewer"] }, view: JudgeScreen },
  { ...{ path: "people", title: "People", key: "p", roles: ["owner", "viewer"] }, view: PeopleScreen },
];
