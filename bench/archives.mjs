// Building archives from large commits: it has to fit an isolate, or be refused in words.

import { startGitHost } from "../tests/e2e/support/git-host.mjs";
import { say, step } from "../scripts/lib/say.mjs";
import { unmeasured, watchMemory } from "./process.mjs";
import { issueToken, register, startRegistry } from "./registry.mjs";
import { incompressible } from "./repositories.mjs";
import { table } from "./report.mjs";

/** Megabytes that nothing compresses: the pack and the zip are of the same size. At most 24 MiB of pack are taken. */
const FITTING = { name: "bench/fitting", megabytes: 25 };
const TOO_LARGE = { name: "bench/too-large", megabytes: 40 };

/**
 * What Cloudflare gives an isolate, in MB, less what its caches may hold (24) and as much for JavaScript and other
 * requests. workerd does not enforce it here, and its own memory, shown beside, also holds the local bucket and
 * uncollected garbage.
 */
const WASM_LIMIT = 128 - 24 - 24;

/** The worker has to answer meanwhile within … */
const TIMEOUT = 10_000;

export async function archives() {
  const host = await startGitHost();
  try {
    const fitting = await attempt(host, FITTING);
    const tooLarge = await attempt(host, TOO_LARGE);
    return report(fitting, tooLarge);
  } finally {
    await host.stop();
  }
}

/** Syncs a repository in a workerd of its own and downloads its archive, which by then was built or refused. */
async function attempt(host, { name, megabytes }) {
  incompressible(host, name, megabytes);
  const registry = await startRegistry({ instrumented: true });
  try {
    const token = await issueToken(registry);
    const health = watchHealth(registry);
    const memory = await step(`Building an archive of ${megabytes} MB`, () =>
      watchMemory(() => register(registry, host.urlOf(name))),
    );
    const headers = { authorization: `Bearer ${token}` };
    const answer = await fetch(`${registry.url}/dist/${name}/v1.0.0.zip`, { headers });
    const body = Buffer.from(await answer.arrayBuffer());
    const { wasmBytes } = await registry.job("build_archives");
    const slowest = await health.stop();
    return { title: `${megabytes} MB`, wasm: wasmBytes / 1e6, ...memory, status: answer.status, body, slowest };
  } finally {
    await registry.stop();
  }
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

function report(fitting, tooLarge) {
  const megabytes = (value) => (value === undefined ? "–" : `${value.toFixed(0)} MB`);
  if (unmeasured) say(`The memory is not shown: ${unmeasured}`);
  table(
    ["archive of", "answer", "slowest /health", "wasm memory", "workerd before", "peak", "after"],
    [fitting, tooLarge].map((run) => [
      run.title,
      String(run.status),
      `${run.slowest.toFixed(0)} ms`,
      ...[run.wasm, run.before, run.peak, run.after].map(megabytes),
    ]),
  );
  const words = tooLarge.status === 404 ? JSON.parse(tooLarge.body).error : tooLarge.body.subarray(0, 200);
  const outcome = `answered ${fitting.status}`;
  const built = fitting.status === 200 && fitting.body.length > FITTING.megabytes * 1e6;
  const wasm = Math.max(fitting.wasm, tooLarge.wasm);
  return [
    {
      ok: built,
      text: `archive of ${fitting.title}: ${outcome}; meanwhile /health took ${fitting.slowest.toFixed(0)} ms at most`,
    },
    {
      ok: tooLarge.status === 404 && /more than 24 MiB/.test(words),
      text: `archive of ${tooLarge.title}: ${tooLarge.status} “${words}”`,
    },
    {
      ok: wasm <= WASM_LIMIT,
      text: `building archives: ${megabytes(wasm)} of wasm memory, wanted at most ${WASM_LIMIT} MB`,
    },
  ];
}
