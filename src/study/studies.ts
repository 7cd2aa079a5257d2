/** The studies by name. */
import { anchoring } from "./claims/anchoring.ts";
import type { StudyDefinition } from "./definition.ts";

/** Name of a study. */
export type StudyName = "anchoring";

/** All studies. */
export const STUDIES: Readonly<Record<StudyName, StudyDefinition>> = { anchoring: anchoring };
