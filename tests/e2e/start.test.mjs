// `npm start`: its queue goes on whatever its jobs take, and it ends when its runtime does.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startWorker } from "../../scripts/lib/local.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { ADMIN_TOKEN, ENCRYPTION_KEY, registerOnly, until, waitForSync } from "./support/registry.mjs";
import { startByHand } from "./support/start.mjs";

/** How often the repositories are registered with a new registry. */
const ROUNDS = Number(process.env.QUEUE_ROUNDS ?? 1);
/** Twenty zips are one job; these take it more than five seconds, most of them without a pause. */
const TAGS = 20;
const FILES = 300;
const FILE_BYTES = 20_000;
/** No round may take longer: 3 min. */
const ROUND_TIMEOUT = 180_000;

let host;
const names = ["acme/composer", "acme/polyfill", "acme/console"];
before(async () => {
  host = await startGitHost();
  for (const name of names) makeLarge(host.repository(name), name);
});
after(() => host?.stop());

/** A repository whose archives are large and do not shrink; each tag changes one file. */
function makeLarge(repo, name) {
  const file = (index) => `src/F${index}.php`;
  const text = (seed) => {
    const line = (number) => createHash("sha512").update(`${name} ${seed} ${number}`).digest("base64");
    return Array.from({ length: FILE_BYTES / 90 }, (_, number) => line(number)).join("\n");
  };
  const files = Object.fromEntries(Array.from({ length: FILES }, (_, index) => [file(index), text(index)]));
  const commit = (number) => {
    files[file(number)] = text(`changed by ${number}`);
    return { tag: `v1.${number}.0`, files: { "composer.json": JSON.stringify({ name }), ...files } };
  };
  repo.commits(Array.from({ length: TAGS }, (_, number) => commit(number)));
}

for (let round = 1; round <= ROUNDS; round += 1) {
  test(`three repositories whose jobs take long are synced and zipped one after the other (${round})`, async () => {
    const registry = await startByHand();
    try {
      const ids = [];
      for (const name of names) ids.push((await registerOnly(registry, { url: host.urlOf(name) })).id);
      const settled = await Promise.all(ids.map((id) => waitForSync(registry, id, { timeout: ROUND_TIMEOUT })));
      assert.deepEqual(settled.map((repository) => repository.sync_status), ["ok", "ok", "ok"]);
    } finally {
      await registry.stop();
    }
  });
}

/** A consumer of a queue that keeps its thread busy for a while with the first message, and tells of each. */
const CONSUMER = `
  let seen = 0;
  export default {
    async queue(batch) {
      const rounds = Number(batch.messages[0].body);
      const block = new Uint8Array(1 << 16);
      for (let round = 0; round < rounds; round += 1) for (let at = 0; at < block.length; at += 1) block[at] = block[at] * 31 + at;
      seen += block.length > 0 ? 1 : 0;
    },
    async fetch(request, env) {
      if (request.method === "POST") await env.SLOW.send(await request.text());
      return new Response(String(seen));
    },
  };`;

test("the local queue hands out the next job after one that kept the runtime busy for more than five seconds", async () => {
  const state = mkdtempSync(join(tmpdir(), "rostrum-queue-"));
  const worker = await startWorker({
    state,
    bindings: { ADMIN_TOKEN, ENCRYPTION_KEY },
    beside: [
      {
        name: "consumer",
        modules: [{ type: "ESModule", path: "consumer.mjs", contents: CONSUMER }],
        queueProducers: { SLOW: "slow" },
        queueConsumers: { slow: { maxBatchSize: 1, maxBatchTimeout: 0 } },
      },
    ],
  });
  try {
    const consumer = await worker.miniflare.getWorker("consumer");
    const seen = async () => Number(await (await consumer.fetch("http://consumer/")).text());
    const handle = async (rounds) => {
      const [count, begun] = [await seen(), Date.now()];
      await consumer.fetch("http://consumer/", { method: "POST", body: String(rounds) });
      await until(`a job of ${rounds} rounds is done`, 60_000, async () => (await seen()) > count);
      return Date.now() - begun;
    };
    await handle(1);
    // How fast this machine is, now and then, decides how many rounds are long enough.
    for (let rounds = 2_000, took = 0; took <= 5_000; rounds = Math.ceil(rounds * Math.max(2, 6_500 / took))) {
      took = await handle(rounds);
    }
    await handle(1);
    await handle(1);
  } finally {
    await worker.stop();
    rmSync(state, { recursive: true, force: true });
  }
});

test("when its runtime ends, npm start ends and says why", async () => {
  const registry = await startByHand();
  try {
    registry.killRuntime();
    const { code, output } = await registry.exit;
    assert.notEqual(code, 0);
    assert.match(output, /✗ The registry has ended: its runtime, workerd, ended by itself with signal SIGKILL\./);
  } finally {
    await registry.stop();
  }
});

test("whoever asks for its health before the migrations are applied does not keep it from starting", async () => {
  const statuses = new Set();
  const meanwhile = (url) => fetch(`${url}/health`).then((answer) => statuses.add(answer.status), () => {});
  const registry = await startByHand({ meanwhile });
  await registry.stop();
  assert.ok(statuses.size > 0, "nobody asked in time");
});

test("npm start ends quietly when it is told to", async () => {
  const registry = await startByHand();
  await registry.stop();
  const { output } = await registry.exit;
  assert.doesNotMatch(output, /✗/);
});
