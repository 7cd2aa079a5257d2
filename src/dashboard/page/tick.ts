/** What is looked at again while the page shows it. */
import { useEffect, useState } from "preact/hooks";

/** Ms between two looks. */
const againMs = 2000;

/** A number that is another every two seconds, while the page is looked at. */
export function useTick(): number {
  const [tick, setTick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || setTick((n) => n + 1), againMs);
    return () => clearInterval(timer);
  }, []);
  return tick;
}
