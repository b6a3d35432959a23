// `npm run size`: holds the Worker to its budget, gzipped as Cloudflare counts it.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "./lib/paths.mjs";
import { Stop, main, say } from "./lib/say.mjs";
import { buildWorker } from "./lib/worker.mjs";

/** 1 MiB, a third of the free plan's 3 MB. */
const BUDGET = 1024 * 1024;

await main(async () => {
  await buildWorker();
  const wasm = readFileSync(join(build, "index_bg.wasm"));
  const packed = gzipSync(wasm, { level: 9 }).length;
  const kib = (bytes) => `${(bytes / 1024).toFixed(0)} KiB`;
  say(`The worker's wasm is ${kib(wasm.length)}, ${kib(packed)} gzipped; the budget is ${kib(BUDGET)}`);
  if (packed > BUDGET) throw new Stop(`The worker is ${kib(packed - BUDGET)} over its budget.`);
});
