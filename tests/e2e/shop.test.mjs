// A shop that sells an extension plays its year: purchase, renewal, upgrade, refund. Its back end speaks the storefront
// API, its customer has nothing but composer and what the shop shows them, and the registry is restarted in between.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createProject } from "./support/composer.mjs";
import { startFileHost } from "./support/file-host.mjs";
import { startGitHost } from "./support/git-host.mjs";
import { register, startRegistry, syncAgain } from "./support/registry.mjs";
import { createStorefrontClient } from "./support/storefront.mjs";
import { storedZip } from "./support/zip.mjs";

const EXTENSION = "acme/extension";
const OTHER = "acme/other";
const GIT = { username: "registry", password: "a git password" };
/** When each version was released. */
const RELEASES = [["5.0.0", "2024-03-01"], ["5.1.0", "2025-02-01"], ["5.2.0", "2025-09-01"], ["6.0.0", "2026-01-15"]];
const PAID = "2025-06-30 23:59:59";
const RENEWED = "2026-06-30 23:59:59";

let host;
let strangers;
let extension;
let registry;
let request;
let consumer;
let project;

const seconds = (day) => Date.parse(`${day}T12:00:00Z`) / 1000;

function publish(name, releases) {
  const repository = host.repository(name);
  for (const [version, day] of releases) {
    repository.commit({ "composer.json": JSON.stringify({ name }), "VERSION": version }, { at: seconds(day) });
    repository.tag(version);
  }
  return repository;
}

const sell = (list) => request("PUT", `/consumers/${consumer.id}/entitlements`, { json: list });
const lockedVersion = (name) => project.readJson("composer.lock").packages.find((entry) => entry.name === name)?.version;

/** What the customer's composer says to `args`, with its cache warm as it is. */
async function composer(...args) {
  const result = await project.composer(...args);
  return { ...result, said: `composer ${args.join(" ")}: ${result.output}` };
}

before(async () => {
  // As every shop's: no customer can clone from it.
  host = await startGitHost({ auth: GIT });
  registry = await startRegistry();
  extension = publish(EXTENSION, RELEASES);
  publish(OTHER, [["1.0.0", "2024-01-01"]]);
  for (const name of [EXTENSION, OTHER]) {
    const { sync_status, error } = await register(registry, {
      url: host.urlOf(name),
      credential_type: "basic",
      auth_credentials: GIT,
    });
    assert.equal(sync_status, "ok", error);
  }
  ({ request } = await createStorefrontClient(registry));
});
after(async () => {
  project?.remove();
  await registry?.stop();
  await strangers?.stop();
  await host?.stop();
});

test("a purchase makes a consumer and grants 5.* with a year of updates", async () => {
  const order = { email: "One@example.com", customer_id: "42", order_id: "1001" };
  const headers = { "idempotency-key": "order-1001" };
  consumer = await request("POST", "/consumers", { json: order, status: 201, headers });
  assert.deepEqual(await request("POST", "/consumers", { json: order, status: 201, headers }), consumer);
  assert.equal((await request("GET", "/consumers/email/one@example.com")).length, 1);
  const bought = [{ package: EXTENSION, version: "5.*", updates_until: PAID }];
  const [permission] = await sell(bought);
  assert.deepEqual(await sell(bought), [permission]);
  assert.deepEqual((await request("GET", `/consumers/${consumer.id}/packages`)).map(({ name }) => name), [EXTENSION]);
});

test("with what the shop shows, composer installs the newest version that was paid for", async () => {
  const { auth_json, repositories, require } = await request("GET", `/consumers/${consumer.id}/instructions`);
  assert.deepEqual(require, { [EXTENSION]: "5.*" });
  project = createProject({
    url: repositories[0].url,
    composerJson: { repositories: [...repositories, { "packagist.org": false }], require },
  });
  writeFileSync(join(project.folder, "auth.json"), JSON.stringify(auth_json));
  const { code, said } = await composer("update");
  assert.equal(code, 0, said);
  assert.equal(lockedVersion(EXTENSION), "5.1.0");
  assert.equal(project.read(`vendor/${EXTENSION}/VERSION`), "5.1.0");
  assert.ok(!project.read("composer.lock").includes(host.urlOf(EXTENSION)), "where the sources are is the shop's affair");
  const other = await composer("require", OTHER);
  assert.notEqual(other.code, 0, other.said);
  assert.match(other.output, /could not be found|Could not find/);
});

/** In packagist.org's place: a repository where strangers have published packages of these names. */
async function publishAsStrangers(...names) {
  strangers = await startFileHost();
  strangers.put("/packages.json", { packages: [], "metadata-url": "/p2/%package%.json" });
  for (const name of names) {
    const zip = storedZip({ "composer.json": JSON.stringify({ name }), "STRANGER": "x" });
    const dist = { type: "zip", url: strangers.put(`/${name}.zip`, zip) };
    strangers.put(`/p2/${name}.json`, { packages: { [name]: [{ name, version: "99.0.0", dist }] } });
  }
}

test("what was not paid for, or is no package at all, is never taken from a stranger who has that name elsewhere", async () => {
  await publishAsStrangers(OTHER, "acme/never-made", "stranger/lib");
  const { auth_json, repositories } = await request("GET", `/consumers/${consumer.id}/instructions`);
  const elsewhere = { type: "composer", url: strangers.url };
  const both = createProject({
    url: repositories[0].url,
    composerJson: { repositories: [...repositories, elsewhere, { "packagist.org": false }] },
  });
  try {
    writeFileSync(join(both.folder, "auth.json"), JSON.stringify(auth_json));
    for (const name of [OTHER, "acme/never-made"]) {
      const { code, output } = await both.composer("require", name);
      assert.notEqual(code, 0, `${name}: ${output}`);
      assert.equal(both.read(`vendor/${name}/STRANGER`), null, output);
    }
    const { code, output } = await both.composer("require", "stranger/lib");
    assert.equal(code, 0, output);
    assert.equal(both.read("vendor/stranger/lib/STRANGER"), "x", "the strangers' repository is asked for what is theirs");
  } finally {
    both.remove();
  }
});

test("a renewal lets the versions of another year through, also after a restart", async () => {
  await registry.restart();
  assert.equal((await composer("update")).code, 0);
  assert.equal(lockedVersion(EXTENSION), "5.1.0");
  await sell([{ package: EXTENSION, version: "5.*", updates_until: RENEWED }]);
  const { code, said } = await composer("update");
  assert.equal(code, 0, said);
  assert.equal(lockedVersion(EXTENSION), "5.2.0");
});

test("a version that comes out in time is there at the next update", async () => {
  extension.commit({ "composer.json": JSON.stringify({ name: EXTENSION }), "VERSION": "5.2.1" }, { at: seconds("2026-02-01") });
  extension.tag("5.2.1", { message: "5.2.1", date: seconds("2026-02-01") });
  assert.equal((await syncAgain(registry, host.urlOf(EXTENSION))).sync_status, "ok");
  const { code, said } = await composer("update");
  assert.equal(code, 0, said);
  assert.equal(lockedVersion(EXTENSION), "5.2.1");
});

test("a tag that is pushed after the updates ended is not installed, however old its commit is, unless it is a security fix", async () => {
  extension.tag("5.2.2");
  assert.equal((await syncAgain(registry, host.urlOf(EXTENSION))).sync_status, "ok");
  assert.equal((await composer("update")).code, 0);
  assert.equal(lockedVersion(EXTENSION), "5.2.1");
  const { id: packageId } = (await request("GET", "/packages")).find(({ name }) => name === EXTENSION);
  const { id } = (await request("GET", `/versions/package/${packageId}`)).find(({ name }) => name === "5.2.2");
  assert.equal((await request("PATCH", `/versions/${id}`, { json: { security_fix: true } })).security_fix, true);
  await registry.restart();
  const { code, said } = await composer("update");
  assert.equal(code, 0, said);
  assert.equal(lockedVersion(EXTENSION), "5.2.2");
});

test("an upgrade to the next major is a permission more", async () => {
  const refused = await composer("require", `${EXTENSION}:6.*`);
  assert.notEqual(refused.code, 0, refused.said);
  await request("POST", "/permissions", {
    json: { consumerid: consumer.id, package: EXTENSION, version: "6.*" },
    status: 201,
  });
  await registry.restart();
  const { code, said } = await composer("require", `${EXTENSION}:6.*`);
  assert.equal(code, 0, said);
  assert.equal(project.read(`vendor/${EXTENSION}/VERSION`), "6.0.0");
});

test("a disabled consumer is told so by composer, and goes on when enabled", async () => {
  await request("PATCH", `/consumers/${consumer.id}`, { json: { status: 0 } });
  // With its cache warm composer makes do with what it knows, and passes the warning on.
  assert.match((await composer("update")).output, /This account was disabled\. Ask whoever sold you the packages\./);
  project.clearCache();
  const { code, said } = await composer("update");
  assert.notEqual(code, 0, said);
  await request("PATCH", `/consumers/${consumer.id}`, { json: { status: 1 } });
  assert.equal((await composer("update")).code, 0);
});

test("after a refund composer loses it at the next update, and cannot install it from the lock file", async () => {
  await sell([]);
  await registry.restart();
  const lost = await composer("update");
  assert.notEqual(lost.code, 0, lost.said);
  project.uninstall();
  project.clearCache();
  const install = await composer("install");
  assert.notEqual(install.code, 0, install.said);
  assert.equal(project.read(`vendor/${EXTENSION}/VERSION`), null);
  assert.deepEqual(await request("GET", `/consumers/${consumer.id}/packages`), []);
});

test("whoever is gone is nobody, and no key is in the audit log", async () => {
  await request("DELETE", `/consumers/${consumer.id}`, { status: 204 });
  const basic = Buffer.from(`${consumer.public_key}:${consumer.private_key}`).toString("base64");
  const answer = await registry.request("/packages.json", { headers: { authorization: `Basic ${basic}` } });
  assert.equal(answer.status, 401);
  const log = await (await registry.admin("/api/audit-log/export")).text();
  assert.match(log, /consumer/);
  assert.ok(!log.includes(consumer.private_key));
  assert.deepEqual(registry.logs.filter(({ message }) => message.includes(consumer.private_key)), []);
});
