/**
 * The screens of the page. To add one: a file in this folder that exports a component, and its line here; those of the workbench are
 * loaded when they are first shown. What it shows it asks of
 * routes, which are added as `route.ts` says; its keys it names by `useKeys`.
 */
import type { ComponentType } from "preact";
import type { Role } from "../sessions.ts";
import { CompareScreen } from "./compare-screen.tsx";
import { onDemand } from "./on-demand.tsx";
import type { Place } from "./place.ts";
import { QueueScreen } from "./queue-screen.tsx";
import { RunScreen } from "./run-screen.tsx";
import { RunsScreen } from "./runs-screen.tsx";
import { StartScreen } from "./start-screen.tsx";

/** What a screen is given. */
interface Shown {
  place: Place;
}

/** A screen. */
export interface Screen {
  /** First part of its address; with a second part `one` is shown. */
  path: string;
  /** Its name at the top of the page, and the key that leads there. */
  title: string;
  key: string;
  roles: readonly Role[];
  view: ComponentType<Shown>;
  /** What shows a single thing, `#/path/id`; left out: there is none. */
  one?: ComponentType<{ id: string }>;
}

const ARENA_SCREEN = onDemand<Shown>(async () => (await import("./arena-screen.tsx")).ArenaScreen);
const DATA_SCREEN = onDemand<Shown>(async () => (await import("./data-screen.tsx")).DataScreen);
const JUDGE_SCREEN = onDemand<Shown>(async () => (await import("./judge-screen.tsx")).JudgeScreen);
const LABEL_SCREEN = onDemand<Shown>(async () => (await import("./label-screen.tsx")).LabelScreen);
const PEOPLE_SCREEN = onDemand<Shown>(async () => (await import("./people-screen.tsx")).PeopleScreen);
const ROUND_SCREEN = onDemand(async () => (await import("./rounds-screen.tsx")).RoundScreen);
const ROUNDS_SCREEN = onDemand<Shown>(async () => (await import("./rounds-screen.tsx")).RoundsScreen);
const VERSION_SCREEN = onDemand(async () => (await import("./version-screen.tsx")).VersionScreen);

/** All screens, in the order of the top of the page; the first that a person may see is shown at the start. */
export const screens: readonly Screen[] = [
  {
    ...{ path: "runs", title: "Runs", key: "1", roles: ["owner", "viewer"] },
    ...{ view: RunsScreen, one: RunScreen },
  },
  { path: "compare", title: "Compare", key: "4", roles: ["owner", "viewer"], view: CompareScreen },
  { path: "start", title: "New run", key: "2", roles: ["owner"], view: StartScreen },
  { path: "queue", title: "Queue", key: "3", roles: ["owner"], view: QueueScreen },
  { ...{ path: "label", title: "Label", key: "l", roles: ["owner", "labeller"] }, view: LABEL_SCREEN },
  { ...{ path: "arena", title: "Arena", key: "b", roles: ["owner"] }, view: ARENA_SCREEN },
  {
    ...{ path: "data", title: "Data", key: "a", roles: ["owner", "viewer"] },
    ...{ view: DATA_SCREEN, one: VERSION_SCREEN },
  },
  {
    ...{ path: "rounds", title: "Rounds", key: "t", roles: ["owner", "viewer"] },
    ...{ view: ROUNDS_SCREEN, one: ROUND_SCREEN },
  },
  { ...{ path: "judge", title: "Judge", key: "g", roles: ["owner", "viewer"] }, view: JUDGE_SCREEN },
  { ...{ path: "people", title: "People", key: "p", roles: ["owner", "viewer"] }, view: PEOPLE_SCREEN },
];
