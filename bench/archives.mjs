// Building archives, small and large: in constant memory, and in slices that let other requests have their turn.

import { startGitHost } from "../tests/e2e/support/git-host.mjs";
import { say, step } from "../scripts/lib/say.mjs";
import { unmeasured, watchMemory } from "./process.mjs";
import { issueToken, register, startRegistry } from "./registry.mjs";
import { incompressible, largeFile, manyFiles } from "./repositories.mjs";
import { table } from "./report.mjs";

/** What is archived: how its repository is made, and the least bytes that its zip has. */
const PACKAGES = [
  { title: "8 files of 1 MB", name: "bench/small", make: (host, name) => incompressible(host, name, 8), bytes: 8e6 },
  { title: "25 files of 1 MB", name: "bench/many-mb", make: (host, name) => incompressible(host, name, 25), bytes: 25e6 },
  { title: "40,000 files", name: "bench/files", make: (host, name) => manyFiles(host, name, 40_000), bytes: 8e6 },
  { title: "a file of 100 MiB", name: "bench/hundred", make: (host, name) => largeFile(host, name, 100), bytes: 100 << 20 },
  { title: "a file of 400 MiB", name: "bench/four", make: (host, name) => largeFile(host, name, 400), bytes: 400 << 20 },
];

/**
 * What Cloudflare gives an isolate, in MB, less what its caches may hold (24) and as much for JavaScript and other
 * requests. workerd does not enforce it here, and its own memory, shown beside, also holds the local bucket and
 * uncollected garbage.
 */
const WASM_LIMIT = 128 - 24 - 24;

/**
 * The worker is wanted to answer meanwhile within …, in ms. A large archive gets its name when it is built, for which the local
 * bucket copies it on the one thread of the runtime, and nothing is answered until that is done: of zips beyond … bytes it says
 * more about the bucket than about the worker. R2 copies elsewhere.
 */
const WANTED = 100;
const JUDGED = 50e6;
/** It has to answer within … at all, in ms. */
const TIMEOUT = 300_000;

export async function archives() {
  const host = await startGitHost();
  try {
    const runs = [];
    for (const wanted of PACKAGES) runs.push(await attempt(host, wanted));
    return report(runs);
  } finally {
    await host.stop();
  }
}

/** Syncs a repository in a workerd of its own and downloads its archive, which by then was built or refused. */
async function attempt(host, { title, name, make, bytes }) {
  make(host, name);
  const registry = await startRegistry({ instrumented: true });
  try {
    const token = await issueToken(registry);
    const health = watchHealth(registry);
    const begun = performance.now();
    const memory = await step(`Building an archive of ${title}`, () =>
      watchMemory(() => register(registry, host.urlOf(name))),
    );
    const seconds = (performance.now() - begun) / 1000;
    const slowest = await health.stop();
    const { status, received, brokenOff } = await download(`${registry.url}/dist/${name}/v1.0.0.zip`, token);
    const isWhole = status === 200 && received >= bytes && brokenOff === undefined;
    const wasm = await registry.wasmMegabytes();
    return { title, seconds, wasm, ...memory, status, received, brokenOff, isWhole, slowest };
  } finally {
    await registry.stop();
  }
}

/** Downloads a zip and throws it away: `{ status, received, brokenOff }`, the last one why it did not come to its end. */
async function download(url, token) {
  const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  let received = 0;
  try {
    for await (const chunk of answer.body) received += chunk.length;
  } catch (error) {
    return { status: answer.status, received, brokenOff: error.cause?.message ?? error.message };
  }
  return { status: answer.status, received };
}

/** Asks for `/health` all the time; `stop` gives the longest wait in milliseconds, or throws what went wrong. */
function watchHealth({ url }) {
  let running = true;
  let slowest = 0;
  const watching = (async () => {
    while (running) {
      const begun = performance.now();
      const answer = await fetch(`${url}/health`, { signal: AbortSignal.timeout(TIMEOUT) });
      if (!answer.ok) throw new Error(`/health answered ${answer.status}`);
      slowest = Math.max(slowest, performance.now() - begun);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return slowest;
  })();
  watching.catch(() => {});
  return { stop: () => ((running = false), watching) };
}

function report(runs) {
  const megabytes = (value) => (value === undefined ? "–" : `${value.toFixed(0)} MB`);
  if (unmeasured) say(`The memory is not shown: ${unmeasured}`);
  table(
    ["archive of", "answer", "zip", "built in", "slowest /health", "wasm memory", "workerd before", "peak", "after"],
    runs.map((run) => [
      run.title,
      String(run.status),
      megabytes(run.received / 1e6),
      `${run.seconds.toFixed(0)} s`,
      `${run.slowest.toFixed(0)} ms`,
      ...[run.wasm, run.before, run.peak, run.after].map(megabytes),
    ]),
  );
  const wasm = Math.max(...runs.map((run) => run.wasm));
  const built = runs.map((run) => ({
    ok: run.isWhole && (run.slowest <= WANTED || run.received > JUDGED),
    text:
      `archive of ${run.title}: ${run.status}, ${megabytes(run.received / 1e6)}` +
      `${run.brokenOff ? `, then broken off (${run.brokenOff})` : ""}; meanwhile /health took ` +
      `${run.slowest.toFixed(0)} ms at most${run.received > JUDGED ? "" : `, wanted at most ${WANTED} ms`}`,
  }));
  return [
    ...built,
    {
      ok: wasm <= WASM_LIMIT,
      text: `building archives: ${megabytes(wasm)} of wasm memory, wanted at most ${WASM_LIMIT} MB`,
    },
  ];
}
