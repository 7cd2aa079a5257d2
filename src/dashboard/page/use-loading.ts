/** What a screen reads as a whole, when it is opened and again when it must. */
import { useEffect, useRef, useState } from "preact/hooks";

/** Ms after which a dashboard that did not answer is asked again. */
const againMs = 3000;

/** Reads by `read`. `problem`: what went wrong the last time; a dashboard that does not answer is asked until it does. */
export function useLoading(read: () => Promise<void>): {
  load: () => void;
  problem: string;
  fail: (problem: string) => void;
} {
  const [problem, fail] = useState("");
  const newest = useRef(read);
  newest.current = read;
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const isLeft = useRef(false);
  useEffect(
    () => () => {
      isLeft.current = true;
      clearTimeout(timer.current);
    },
    [],
  );
  const load = (): void => {
    clearTimeout(timer.current);
    newest.current().then(
      () => fail(""),
      ({ status, message }: Error & { status?: number }) => {
        fail(message);
        if (status === 0 && !isLeft.current) timer.current = setTimeout(load, againMs);
      },
    );
  };
  return { load, problem, fail };
}
