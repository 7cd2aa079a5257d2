/** Reads memory of the rehearsal device with the processor, which ends this process. */
import { openRehearsal } from "./rehearsal.ts";

const rehearsal = await openRehearsal();
if (typeof rehearsal === "string") throw new Error(rehearsal);
process.stdout.write(`read ${rehearsal.touch()}\n`);
