// What a sync asks of a git host and of the database.

import { startGitHost } from "../tests/e2e/support/git-host.mjs";
import { step } from "../scripts/lib/say.mjs";
import { archived, startRegistry, synced } from "./registry.mjs";
import { table } from "./report.mjs";
import { longTexts, manyVersions } from "./repositories.mjs";

/** Each with the branch `main` besides its tags. */
const FEW = { name: "bench/few", versions: 59 };
const MANY = { name: "bench/many", versions: 239 };

/** As many versions as large frameworks have, with some 40 MB of texts. */
const LONG = { name: "bench/long", versions: 1310 };

/**
 * What a first sync may take of the 128 MB that Cloudflare gives an isolate: the wasm memory, and what the database is
 * sent at once, in MB.
 */
const FIRST_SYNC_LIMIT = 64;

/** With a server that knows filters. */
const FIRST_REQUESTS = 4;
/** When nothing is new. */
const NEXT_REQUESTS = 1;

export async function sync() {
  const host = await startGitHost();
  const registry = await startRegistry({ instrumented: true });
  try {
    for (const { name, versions } of [FEW, MANY]) manyVersions(host, name, versions);
    const runs = await step("Syncing repositories of 60 and 240 refs", async () => [
      ...(await syncsOf(host, registry, FEW)),
      ...(await syncsOf(host, registry, MANY)),
    ]);
    return [...report(runs), ...(await longSync(host))];
  } finally {
    await registry.stop();
    await host.stop();
  }
}

/** The memory of the first sync of a repository with many versions and long texts, in a workerd of its own. */
async function longSync(host) {
  longTexts(host, LONG.name, LONG.versions);
  const registry = await startRegistry({ instrumented: true });
  try {
    const job = await step(`Syncing a repository of ${LONG.versions} versions with long texts`, async () => {
      const { id } = await registry.admin("/api/repositories", { url: host.urlOf(LONG.name) });
      const { added } = await synced(registry, id, 1);
      if (added !== LONG.versions + 1) throw new Error(`${added} versions were added`);
      return registry.job("sync_repository");
    });
    const [wasm, largest] = [job.wasmBytes / 1e6, job.largestBatch / 1e6];
    return [
      {
        ok: wasm + largest <= FIRST_SYNC_LIMIT,
        text:
          `first sync, ${LONG.versions} versions with long texts: ${wasm.toFixed(0)} MB of wasm memory and ` +
          `${largest.toFixed(0)} MB of parameters in one batch, wanted at most ${FIRST_SYNC_LIMIT} MB together`,
      },
    ];
  } finally {
    await registry.stop();
  }
}

/** The first sync of a repository, and one when nothing is new. */
async function syncsOf(host, registry, { name, versions }) {
  host.forget();
  const { id } = await registry.admin("/api/repositories", { url: host.urlOf(name) });
  const first = await observed(host, registry, id, 1);
  await archived(registry);
  host.forget();
  await registry.admin(`/api/repositories/${id}/sync`, {});
  const next = await observed(host, registry, id, 2);
  const refs = versions + 1;
  return [
    { title: `first sync, ${refs} refs`, ...first },
    { title: `next sync, ${refs} refs, nothing new`, ...next },
  ];
}

/** What a sync took. Its archives are built by the next jobs, whose requests to the same host come after its own. */
async function observed(host, registry, id, runs) {
  const row = await synced(registry, id, runs);
  const { batches } = await registry.job("sync_repository");
  const requests = host.log.slice(0, row.requests);
  return {
    requests: row.requests,
    bytes: requests.reduce((sum, { sent }) => sum + sent, 0),
    milliseconds: row.finished_at - row.started_at,
    batches,
    added: row.added,
  };
}

function report(runs) {
  const lines = runs.map(({ title, requests, bytes, milliseconds, batches, added }) => [
    title,
    String(requests),
    `${(bytes / 1000).toFixed(0)} kB`,
    String(batches),
    String(added),
    `${milliseconds} ms`,
  ]);
  table(["sync", "upstream requests", "received", "D1 batches", "versions", "time"], lines);
  const [few, , many, next] = runs;
  return [
    {
      ok: many.requests <= FIRST_REQUESTS && many.added === MANY.versions + 1,
      text: `${many.title}: ${many.requests} upstream requests, wanted at most ${FIRST_REQUESTS}`,
    },
    {
      ok: many.batches === few.batches,
      text: `${many.title}: ${many.batches} D1 batches, wanted as many as with 60 refs (${few.batches})`,
    },
    {
      ok: next.requests === NEXT_REQUESTS,
      text: `${next.title}: ${next.requests} upstream request, wanted ${NEXT_REQUESTS}`,
    },
  ];
}
