// `npm run size`: holds the Worker to its budget. How long it takes to start is measured by `npm run bench -- size`.

import { weigh } from "./lib/budget.mjs";
import { Stop, main, say } from "./lib/say.mjs";
import { buildWorker } from "./lib/worker.mjs";

await main(async () => {
  await buildWorker();
  const { ok, text } = weigh();
  if (!ok) throw new Stop(`The worker is over its budget: ${text}.`);
  say(text);
});
