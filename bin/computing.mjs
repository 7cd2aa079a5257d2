/** Which commands compute, and so need torch and the addon in place before they start. */

/** Of `labels`, one of its commands. */
const computing = new Set([
  ...["train", "generate", "score", "scale", "replay", "merge", "export", "round", "evaluate", "serve"],
  // these start others
  ...["dashboard", "study", "sweep"],
  "labels score",
]);

/** Options by which a command prints and does nothing else. */
const quiet = new Set(["--help", "-h", "--version", "-V", "--print-config"]);

/**
 * Whether a command computes. A word that is no command does not: the program says so.
 *
 * @param {readonly string[]} args what follows `preftune`
 */
export function needsAddon([command = "", next = "", ...rest]) {
  return (
    (computing.has(command) || computing.has(`${command} ${next}`)) &&
    ![next, ...rest].some((arg) => quiet.has(arg))
  );
}
