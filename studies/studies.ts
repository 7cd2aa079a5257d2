/** The studies by name. */
import { frontier } from "./claims/frontier.ts";
import { geometry } from "./claims/geometry.ts";
import { guarantees } from "./claims/guarantees.ts";
import { long } from "./claims/long.ts";
import { online } from "./claims/online.ts";
import { sensitivity } from "./claims/sensitivity.ts";
import type { StudyDefinition } from "./definition.ts";
import type { StudyName } from "./names.ts";
import { readStudy } from "./study-file.ts";

/** All studies. */
export const STUDIES: Readonly<Record<StudyName, StudyDefinition>> = {
  anchoring: readStudy("anchoring"),
  stabiliser: readStudy("stabiliser"),
  margins: readStudy("margins"),
  ablation: readStudy("ablation"),
  sensitivity,
  transfer: readStudy("transfer"),
  thumbs: readStudy("thumbs"),
  guarantees,
  frontier,
  geometry,
  long,
  online,
};
