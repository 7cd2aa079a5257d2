/** Screens whose script is loaded when they are first shown. */
import type { ComponentType, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Problem } from "./pieces.tsx";

/** A component that is loaded when it is first shown. @param load - imports it */
export function onDemand<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  let Loaded: ComponentType<P> | null = null;
  return function OnDemand(props: P): JSX.Element {
    const [, setLoaded] = useState(Loaded !== null);
    const [problem, setProblem] = useState("");
    useEffect(() => {
      if (Loaded !== null) return;
      load().then(
        (component) => {
          Loaded = component;
          setLoaded(true);
        },
        ({ message }: Error) => setProblem(message),
      );
    }, []);
    if (Loaded !== null) return <Loaded {...props} />;
    if (problem === "") return <p aria-busy="true" />;
    return (
      <Problem
        text={`This screen could not be loaded: ${problem}. See whether the dashboard still runs, then load the page again.`}
      />
    );
  };
}
