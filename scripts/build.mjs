// `npm run build`: the release build of the Worker, in build/.

import { main } from "./lib/say.mjs";
import { buildWorker } from "./lib/worker.mjs";

await main(buildWorker);
