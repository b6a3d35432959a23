// Composer's cooldown, which withholds what was published only a while ago: it goes by the date that the registry vouches
// for, never by what an author writes.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import http from "node:http";
import { after, before, test } from "node:test";
import { composerIsAtLeast, createProject } from "./support/composer.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { issueToken, register, startRegistry, until } from "./support/registry.mjs";
import { storedZip } from "./support/zip.mjs";

const LONG_AGO = "2015-01-01T00:00:00+00:00";
const json = (value) => JSON.stringify(value);

let host;
let upstream;
let registry;
let token;

before(async () => {
  [host, upstream, registry] = await Promise.all([startGitHost(), startUpstream(), startRegistry()]);
  const fresh = host.repository("acme/fresh");
  // The commit is of 2024, and its author claims more.
  fresh.commit({ "composer.json": json({ name: "acme/fresh", time: LONG_AGO, "published-time": LONG_AGO }) });
  fresh.tag("1.0.0");
  const { sync_status, error } = await register(registry, { url: host.urlOf("acme/fresh") });
  assert.equal(sync_status, "ok", error);
  const added = await registry.admin("/api/repositories", { json: { kind: "composer", url: upstream.url } });
  assert.equal(added.status, 201);
  const { id } = await added.json();
  await until("the upstream is read", 30_000, async () => {
    const { sync_status: status } = await (await registry.admin(`/api/repositories/${id}`)).json();
    return status === "ok";
  });
  token = (await issueToken(registry)).token;
});

after(async () => {
  await registry?.stop();
  await upstream?.stop();
  await host?.stop();
});

/** Another registry: a package that it published long ago, and one that it published just now. */
async function startUpstream() {
  const zip = storedZip({ "composer.json": "{}" });
  let url;
  const packages = () =>
    Object.fromEntries(
      [["vendor/old", LONG_AGO], ["vendor/new", new Date().toISOString()]].map(([name, published]) => {
        const dist = { type: "zip", url: `${url}/${name}.zip`, shasum: createHash("sha1").update(zip).digest("hex") };
        const version = { name, version: "1.0.0", time: LONG_AGO, "published-time": published, dist };
        return [name, { "1.0.0": version }];
      }),
    );
  const server = http.createServer((request, response) => {
    if (request.url.endsWith(".zip")) return response.end(zip);
    if (request.url !== "/packages.json") return response.writeHead(404).end();
    response.writeHead(200, { "content-type": "application/json" }).end(json({ packages: packages() }));
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  url = `http://127.0.0.1:${server.address().port}`;
  return {
    url,
    async stop() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

/** What composer says to a requirement in a project with a cooldown of a week, or with none. */
async function requiring(name, cooldown) {
  const project = createProject({
    url: registry.url,
    auth: { username: "token", password: token },
    composerJson: {
      config: { "secure-http": false, "allow-plugins": false, ...(cooldown && { policy: { cooldown: { period: "7 days" } } }) },
    },
  });
  try {
    return await project.composer("require", name);
  } finally {
    project.remove();
  }
}

/** Only later composers know it; the others take no notice. */
const knowsCooldown = () => composerIsAtLeast("2.11");

test("a version that was published a moment ago is withheld, whatever date its author states", async () => {
  const { code, output } = await requiring("acme/fresh:^1.0", true);
  if (!knowsCooldown()) return assert.equal(code, 0, output);
  assert.notEqual(code, 0, output);
  assert.match(output, /cooldown/i);
  assert.doesNotMatch(output, /has no published-time/);
});

test("without a cooldown it is installed", async () => {
  const { code, output } = await requiring("acme/fresh:^1.0", false);
  assert.equal(code, 0, output);
});

test("of a mirrored version it is the upstream's date that counts", async () => {
  const old = await requiring("vendor/old:^1.0", true);
  assert.equal(old.code, 0, old.output);
  const fresh = await requiring("vendor/new:^1.0", true);
  if (!knowsCooldown()) return assert.equal(fresh.code, 0, fresh.output);
  assert.notEqual(fresh.code, 0, fresh.output);
  assert.match(fresh.output, /cooldown/i);
});
