// What the registry's wasm weighs, and how long a new isolate takes to start with it.
//
// Start-up is the CPU time that workerd takes from its own start to its first answer, less what it takes for a worker
// that does nothing: to load, compile and instantiate the wasm, to make the router, and to answer `/health`. Cloudflare
// counts less, for it stops before the request. (`wrangler check startup` does as well, but its profile holds a handful
// of samples, most of them of the profiler itself.)

import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { weigh } from "../scripts/lib/budget.mjs";
import { startWorker } from "../scripts/lib/local.mjs";
import { build } from "../scripts/lib/paths.mjs";
import { say, step } from "../scripts/lib/say.mjs";
import { cpuSeconds, unmeasured } from "./process.mjs";
import { DIRECT, temporaryFolder } from "./registry.mjs";

/** The most that a start-up may take, in ms: a quarter of the second that Cloudflare allows, whose CPUs are not ours. */
const LIMIT = 250;

/** Enough for a mean of some milliseconds, though each measurement is as coarse as the clock's ticks of 10 ms. */
const ROUNDS = 10;

export async function size() {
  if (unmeasured) say(`The start-up is not measured: ${unmeasured}`);
  return unmeasured ? [weigh()] : [weigh(), await startUp()];
}

/** The worker that does nothing, in the registry's place: bound to the same things. */
const NOOP = {
  modules: [
    {
      type: "ESModule",
      path: join(build, "noop.js"),
      contents: readFileSync(new URL("noop.js", import.meta.url), "utf8"),
    },
  ],
};

async function startUp() {
  const state = temporaryFolder();
  try {
    // The first one applies the migrations.
    await untilFirstAnswer(state);
    const milliseconds = await step(`Starting the worker ${ROUNDS} times`, async () => {
      let sum = 0;
      for (let round = 0; round < ROUNDS; round++) {
        sum += (await untilFirstAnswer(state)) - (await untilFirstAnswer(state, NOOP));
      }
      return (sum / ROUNDS) * 1000;
    });
    const text = `start-up: ${milliseconds.toFixed(0)} ms of CPU time, wanted at most ${LIMIT} ms`;
    return { ok: milliseconds <= LIMIT, text };
  } finally {
    rmSync(state, { recursive: true, force: true });
  }
}

/** The seconds of CPU time that a new workerd has used when the registry, or the worker in its place, has answered. */
async function untilFirstAnswer(state, inItsPlace = {}) {
  const options = { ...inItsPlace, name: "registry", ...DIRECT };
  const worker = await startWorker({ state, bindings: {}, options });
  try {
    const url = await worker.miniflare.unsafeGetDirectURL("registry");
    await (await fetch(new URL("/health", url))).text();
    return cpuSeconds();
  } finally {
    await worker.stop();
  }
}
