// A registry that is killed while repositories are synced and zipped, and while webhooks are notified: every sync is published as
// a whole or not at all, and comes to its end; every event arrives.

import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { startFileHost } from "./support/file-host.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { contentOf, downloadOf, killAtRandom, metadataOf, sha1, zipOf } from "./support/kills.mjs";
import { issueToken, registerOnly, requestSync, startRegistry, until } from "./support/registry.mjs";
import { createStorefrontClient } from "./support/storefront.mjs";

/** Tags of each push. */
const TAGS = 4;
/** Nothing that is told or synced may take longer to arrive after a restart. */
const TIMEOUT = 20_000;

let host;
let registry;
let reader;
let writer;

before(async () => {
  host = await startGitHost();
  registry = await startRegistry();
  reader = (await issueToken(registry, { rate_limit_max: 1_000_000 })).token;
  writer = (await issueToken(registry, { permissions: "write", rate_limit_max: 1_000_000 })).token;
});
after(async () => {
  await registry?.stop();
  await host?.stop();
});

/** As if the leases of what was under way when it was killed had ended, and the delays of what failed. */
async function endLeases() {
  const database = await registry.database();
  const statements = [
    "UPDATE sync_runs SET lease_until = 0",
    "UPDATE archive_builds SET lease_until = 0",
    "UPDATE webhook_deliveries SET lease_until = 0, next_attempt_at = 0",
  ];
  await database.batch(statements.map((sql) => database.prepare(sql)));
}

/** Waits until the sync that was asked for has gone through. The one that was cut off is told of until another one begins. */
function settles(id) {
  return until("the sync goes through", TIMEOUT, async () => {
    const { sync_status, error } = await (await registry.admin(`/api/repositories/${id}`)).json();
    if (sync_status === "failed") assert.match(error, /^The last sync was cut off/);
    return sync_status === "ok";
  });
}

/** The versions that a push has as tags. */
const pushed = (push) => Array.from({ length: TAGS }, (_, number) => `${push}.${number}.0`);

function push(repository, name, number) {
  const text = (version) => contentOf(`${name} ${version}`, 10_000).toString("hex");
  const commit = (version) => ({
    tag: version,
    files: { "composer.json": JSON.stringify({ name, description: version }), "content.txt": text(version) },
  });
  repository.commits(pushed(number).map(commit));
}

test("a sync that is cut off has published all or nothing, and comes to its end after a restart", async (t) => {
  const NAME = "acme/synced";
  const repository = host.repository(NAME);
  push(repository, NAME, 0);
  const { id } = await registerOnly(registry, { url: host.urlOf(NAME) });
  await settles(id);
  const seen = { before: 0, after: 0 };
  await killAtRandom(t, registry, {
    span: 700,
    work: (_isAlive, kill) => {
      push(repository, NAME, kill);
      return [requestSync(registry, id)];
    },
    async check(kill) {
      const metadata = await metadataOf(registry, reader, NAME);
      const published = [...metadata.keys()];
      const ofPush = pushed(kill).filter((version) => published.includes(version));
      assert.ok([0, TAGS].includes(ofPush.length), `${ofPush.length} of the ${TAGS} versions of one sync are published`);
      for (let earlier = 0; earlier < kill; earlier += 1) {
        for (const version of pushed(earlier)) assert.ok(published.includes(version), `${version} was published before`);
      }
      seen[ofPush.length === 0 ? "before" : "after"] += 1;
      for (const version of ofPush) await downloadOf(registry, reader, metadata.get(version));
      await endLeases();
      await registry.runCron();
      // What asked for the sync may have been cut off before it was acknowledged: a push is then found at its time.
      await requestSync(registry, id);
      await settles(id);
      const settled = await metadataOf(registry, reader, NAME);
      for (const version of pushed(kill)) await downloadOf(registry, reader, settled.get(version));
    },
  });
  t.diagnostic(`killed ${seen.before} times before it was published, ${seen.after} times afterwards`);
});

test("a repository whose registration was acknowledged is synced, however early it was killed", async (t) => {
  let registered = [];
  await killAtRandom(t, registry, {
    span: 250,
    work: (_isAlive, kill) => {
      const name = `acme/registered-${kill}`;
      push(host.repository(name), name, 1);
      return [registerOnly(registry, { url: host.urlOf(name) }).then(({ id }) => registered.push({ id, name }))];
    },
    async check() {
      await endLeases();
      await registry.runCron();
      for (const { id, name } of registered.splice(0)) {
        await settles(id);
        const metadata = await metadataOf(registry, reader, name);
        for (const version of pushed(1)) await downloadOf(registry, reader, metadata.get(version));
      }
    },
  });
});

test("packages of an upstream whose import is cut off are there as they were or as they are, and come to be as they are", async (t) => {
  const NAMES = Array.from({ length: 12 }, (_, at) => `upstream/package-${at}`);
  const upstream = await startFileHost();
  t.after(() => upstream.stop());
  const released = [];
  const packages = {};
  /** Each package has one version more. */
  const release = (version) => {
    released.push(version);
    for (const name of NAMES) {
      const zip = zipOf(name, version, 2_000);
      const dist = { type: "zip", url: upstream.put(`/${name}/${version}.zip`, zip), shasum: sha1(zip) };
      packages[name] = { ...packages[name], [version]: { name, version, dist } };
    }
    upstream.put("/packages.json", { packages });
  };
  release("1.0.0");
  const { id } = await registerOnly(registry, { kind: "composer", url: upstream.url });
  await settles(id);
  await killAtRandom(t, registry, {
    span: 400,
    work: (_isAlive, kill) => {
      release(`1.${kill}.0`);
      return [requestSync(registry, id)];
    },
    async check() {
      for (const name of NAMES) {
        const count = (await metadataOf(registry, reader, name)).size;
        assert.ok([released.length - 1, released.length].includes(count), `${name} has ${count} of ${released.length} versions`);
      }
      await endLeases();
      await requestSync(registry, id);
      await settles(id);
      for (const name of NAMES) {
        const metadata = await metadataOf(registry, reader, name);
        assert.deepEqual([...metadata.keys()].sort(), [...released].sort(), name);
        await downloadOf(registry, reader, metadata.get(released.at(-1)));
      }
    },
  });
});

/** A shop that takes events, each after some milliseconds. */
async function startShop() {
  const events = [];
  const server = http.createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      events.push(JSON.parse(Buffer.concat(pieces)));
      setTimeout(() => response.writeHead(204).end(), 20);
    });
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    url: `http://127.0.0.1:${server.address().port}/hooks`,
    events,
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}

test("what was published is told to the shop at least once, always with the same id", async (t) => {
  const NAME = "acme/told";
  const shop = await startShop();
  t.after(() => shop.stop());
  const { request } = await createStorefrontClient(registry);
  const webhook = await request("POST", "/webhooks", { json: { url: shop.url, events: ["version.published"] }, status: 201 });
  const acknowledged = [];
  const upload = async (version) => {
    const path = `/api/packages/${NAME}/versions/${version}`;
    const headers = { authorization: `Bearer ${writer}`, connection: "close" };
    const { status } = await registry.request(path, { method: "PUT", body: zipOf(NAME, version, 500), headers });
    assert.equal(status, 201);
    acknowledged.push(version);
  };
  const uploads = async (kill, isAlive) => {
    for (let number = 0; isAlive(); number += 1) await upload(`1.${kill}.${number}`);
  };
  await upload("1.0.0");
  const crons = async (isAlive) => {
    while (isAlive()) await registry.runCron();
  };
  const told = () => {
    const events = shop.events.filter(({ data }) => data.package === NAME);
    return new Set(events.flatMap(({ data }) => data.versions.map(({ version }) => version)));
  };
  await killAtRandom(t, registry, {
    span: 500,
    work: (isAlive, kill) => [uploads(kill, isAlive), crons(isAlive)],
    async check() {
      await endLeases();
      await registry.runCron();
      await until("every version that was published is told", TIMEOUT, () => acknowledged.every((version) => told().has(version)));
    },
  });
  const log = await until("every delivery is done", TIMEOUT, async () => {
    const entries = await request("GET", `/webhooks/${webhook.id}/deliveries?limit=100`);
    return entries.every(({ state }) => state === "delivered") && entries;
  });
  assert.ok(log.length > 0);
  const ids = new Map();
  for (const { id, data } of shop.events) {
    for (const { version } of data.versions) assert.equal(ids.get(version) ?? id, id, `${version} is told with two ids`);
    for (const { version } of data.versions) ids.set(version, id);
  }
  t.diagnostic(`${acknowledged.length} versions, told ${shop.events.length} times`);
});
