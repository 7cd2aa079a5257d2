/** Finds the Python that has transformers and PEFT (`npm run peers`), for tests that let them read what was written here. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";

const state: string = resolve(import.meta.dirname, "../../.preftune");
const own: string = resolve(state, "peers/bin/python");
const withEval: string = resolve(state, "peers-eval/bin/python");

let answer: string | null | undefined;

function imports(python: string): boolean {
  const find =
    "import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in ('torch', 'transformers', 'peft')))";
  return spawnSync(python, ["-c", find], { timeout: 600_000 }).status === 0;
}

/** Path of a Python that has torch, transformers and PEFT: PREFTUNE_PEERS_PYTHON, else `.preftune/peers`; null without one. */
export function peersPython(): string | null {
  if (answer === undefined) {
    const variable = process.env["PREFTUNE_PEERS_PYTHON"] ?? "";
    const python = variable === "" ? own : variable;
    answer = (variable !== "" || existsSync(python)) && imports(python) ? python : null;
  }
  return answer;
}

/** For `test(name, { skip: skipWithoutPeers() }, ...)`: false when there is one, else the reason to print. */
export function skipWithoutPeers(): false | string {
  return peersPython() === null
    ? 'no Python with transformers and PEFT; "npm run peers" installs one'
    : false;
}

/** For tests that ask TRL, which that Python has after `npm run bench:peers`. */
export function skipWithoutTrl(): false | string {
  const python = peersPython();
  const find = "import importlib.util, sys; sys.exit(importlib.util.find_spec('trl') is None)";
  const has = python !== null && spawnSync(python, ["-c", find], { timeout: 600_000 }).status === 0;
  return has ? false : 'no Python with TRL; "npm run bench:peers" installs one';
}

/** Path of the Python that has lm-eval as well (`npm run peers -- --eval`); null without one. */
export function evalPython(): string | null {
  return existsSync(resolve(state, "peers-eval/preftune-stamp")) ? withEval : null;
}

/** As `skipWithoutPeers`, for lm-eval. */
export function skipWithoutEval(): false | string {
  return evalPython() === null ? 'no Python with lm-eval; "npm run peers -- --eval" installs one' : false;
}
