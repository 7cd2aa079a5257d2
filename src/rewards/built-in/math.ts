/** The built-in rewards `math` and `accuracy`. Formulas are read by @cortex-js/compute-engine and compared here; nothing is solved. */
import type { RewardOptions } from "../../config/reward-specs.ts";
import { LoadFailure } from "../load-failure.ts";
import type { RewardFunction } from "../reward-function.ts";
import { announcedIn, announcedNumberIn, boxedIn, normalLatex, unannouncedIn } from "./math-answer.ts";
import { areEqual } from "./math-equality.ts";
import { type Term, termOf } from "./math-term.ts";
import { compareWithReferences } from "./references.ts";

/**
 * 1 where the answer in the completion equals the reference, 0 where it does not, or there is none. The answer is the last \boxed{…},
 * else the formula that follows the word "answer", else the last formula, else the last number. A reference that is no mathematics
 * is not scored.
 */
export function mathReward({ column = "answer" }: RewardOptions): RewardFunction {
  return mathComparison(column, (text) => either(boxedIn(text) ?? announcedIn(text), unannouncedIn(text)));
}

/**
 * As `math`, with the rules of TRL's accuracy_reward: the answer must be in \boxed{…}, or a LaTeX formula that follows the word
 * "answer".
 */
export function accuracyReward({ column = "solution" }: RewardOptions): RewardFunction {
  return mathComparison(column, (text) => either(boxedIn(text) ?? announcedIn(text), []));
}

function either(found: string | null, others: Iterable<string>): Iterable<string> {
  return found === null ? others : [found];
}

/** The answer of a reference: as that of a completion, and a number that follows the word "answer" counts as a formula does. */
function referenceIn(text: string): Iterable<string> {
  return either(boxedIn(text) ?? announcedIn(text) ?? announcedNumberIn(text), unannouncedIn(text));
}

function mathComparison(column: string, answersIn: (text: string) => Iterable<string>): RewardFunction {
  requireReader();
  return async (input) => {
    const read = await latexReader();
    return compareWithReferences(input, column, (text, reference) => {
      const wanted = firstRead(referenceIn(reference.text), read);
      if (wanted === null) return null;
      const given = firstRead(answersIn(text), read);
      return given !== null && areEqual(given, wanted) ? 1 : 0;
    });
  };
}

/** Those who use these rewards install their library, of 45 MB. @throws {LoadFailure} if it is not installed */
function requireReader(): void {
  try {
    import.meta.resolve("@cortex-js/compute-engine/latex-syntax");
  } catch {
    throw new LoadFailure(
      "math and accuracy need the package @cortex-js/compute-engine, which is not installed: npm install @cortex-js/compute-engine",
    );
  }
}

function firstRead(answers: Iterable<string>, read: (latex: string) => Term | null): Term | null {
  for (const latex of answers) {
    const term = read(latex);
    if (term !== null) return term;
  }
  return null;
}

/** Longer formulas are not read: the library's work grows with their length. */
const longestFormula = 1000;

/** Reads a formula: its tree; null where it is none. */
async function latexReader(): Promise<(latex: string) => Term | null> {
  // loaded when it is needed: it takes a tenth of a second
  const { parse } = await import("@cortex-js/compute-engine/latex-syntax");
  return (latex) => {
    const normal = normalLatex(latex);
    if (normal === "" || normal.length > longestFormula) return null;
    try {
      return termOf(parse(normal));
    } catch {
      // nesting without end
      return null;
    }
  };
}
