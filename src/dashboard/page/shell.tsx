/** What stands around every screen: its top, the list of keys, and what is said to who is not logged in. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { loginProblem, me, remove } from "./api.ts";
import { type KeyUse, keyUses, useKeys } from "./keys.ts";
import { silentStreams } from "./live.ts";
import { Problem } from "./pieces.tsx";
import { addressOf, goTo, place } from "./place.ts";
import { type Screen, screens } from "./screens.ts";

const areKeysShown = signal(false);
/** Why the last press on "Log out" did not. */
const notLoggedOut = signal("");

/** The page. */
export function Shell(): JSX.Element {
  const person = me.value;
  if (person === undefined) return <main aria-busy="true" />;
  if (person === null) return <LoggedOut />;
  const mine = screens.filter(({ roles }) => roles.includes(person.role));
  const { parts } = place.value;
  const screen = mine.find(({ path }) => path === parts[0]) ?? mine[0];
  return (
    <>
      <Top screens={mine} at={screen} />
      <main id="main" tabIndex={-1}>
        {person.readOnly !== null && <p class="note">{person.readOnly}</p>}
        {notLoggedOut.value !== "" && <Problem text={notLoggedOut.value} />}
        {silentStreams.value > 0 && (
          <p class="note" role="status">
            The dashboard does not answer: what you see may be old. The page keeps trying.
          </p>
        )}
        {screen === undefined ? (
          <p>There is no screen for a {person.role} yet.</p>
        ) : (
          <Shown screen={screen} />
        )}
      </main>
      <KeyList />
    </>
  );
}

function Shown({ screen }: { screen: Screen }): JSX.Element {
  const { parts } = place.value;
  const [, id] = parts;
  if (id !== undefined && screen.one !== undefined) return <screen.one key={id} id={id} />;
  return <screen.view place={place.value} />;
}

function Top({ screens: mine, at }: { screens: readonly Screen[]; at: Screen | undefined }): JSX.Element {
  const uses = mine.map(({ key, title, path }) => ({ key, what: title, run: () => goTo([path]) }));
  useKeys(
    [...uses, { key: "?", what: "List the keys", run: () => (areKeysShown.value = !areKeysShown.value) }],
    [mine.map(({ path }) => path).join()],
  );
  return (
    <header class="top">
      <button type="button" class="skip" onClick={() => document.getElementById("main")?.focus()}>
        Skip to content
      </button>
      <nav aria-label="Screens">
        <b>preftune</b>
        {mine.map(({ path, title }) => (
          <a key={path} href={addressOf([path])} aria-current={path === at?.path ? "page" : undefined}>
            {title}
          </a>
        ))}
      </nav>
      <span class="end">
        <button type="button" class="plain" onClick={() => (areKeysShown.value = true)}>
          Keys <kbd>?</kbd>
        </button>
        <button type="button" class="plain" onClick={logOut}>
          Log out
        </button>
      </span>
    </header>
  );
}

function logOut(): void {
  notLoggedOut.value = "";
  remove("/api/session").then(
    () => {
      me.value = null;
    },
    // of a session that is over this page knows then
    ({ message }: Error) => {
      notLoggedOut.value = message;
    },
  );
}

function KeyList(): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const isShown = areKeysShown.value;
  useEffect(() => {
    if (isShown) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isShown]);
  return (
    <dialog ref={dialog} aria-labelledby="keys" onClose={() => (areKeysShown.value = false)}>
      <h2 id="keys">Keys</h2>
      <dl class="keys">
        {keyUses.value.filter(isInUse).map(({ key, what }) => (
          <div key={key}>
            <dt>
              <kbd>{nameOf(key)}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <button type="button" onClick={() => (areKeysShown.value = false)}>
        Close
      </button>
    </dialog>
  );
}

/** A key of the screen goes before the same key of the top. */
function isInUse({ key }: KeyUse, i: number, all: readonly KeyUse[]): boolean {
  return all.findLastIndex((other) => other.key === key) === i;
}

function nameOf(key: string): string {
  const names: Readonly<Record<string, string>> = {
    ArrowLeft: "←",
    ArrowRight: "→",
    ArrowUp: "↑",
    ArrowDown: "↓",
  };
  return names[key] ?? key;
}

function LoggedOut(): JSX.Element {
  return (
    <main>
      <h1>preftune</h1>
      <p>{loginProblem.value === "" ? "Nobody is logged in here." : loginProblem.value}</p>
      <p class="soft">
        <code>preftune dashboard</code> prints an address that logs in once. Press Enter where it runs for a
        new one.
      </p>
    </main>
  );
}
