/** Names the modules of the library's pages by what a program imports. */
import { Converter, ReflectionKind } from "typedoc";

/** @param {import("typedoc").Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_CREATE_DECLARATION, (_, reflection) => {
    if (!reflection.kindOf(ReflectionKind.Module)) return;
    reflection.name = reflection.name
      .replace(/^src\/doors\//, "preftune/")
      .replace(/^src(\/index)?$/, "preftune");
  });
}
