/** What studies measure of a run beside its held-out pairs, by the names that `Condition.extra` takes. Loaded by the run's process. */
import type { Extras } from "preftune/sweep";
import { writeCoupling } from "./coupling.ts";

/** See `Extras` of preftune/sweep. */
export const extras: Extras = { coupling: writeCoupling };
