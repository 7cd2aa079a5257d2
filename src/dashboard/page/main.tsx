/** The start of the page. */
import { render } from "preact";
import { logIn } from "./api.ts";
import { Shell } from "./shell.tsx";

const root = document.getElementById("page");
if (root !== null) render(<Shell />, root);
void logIn();
