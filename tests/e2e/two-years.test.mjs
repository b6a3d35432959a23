// Two years of a shop, with a clock that the test moves: an old product moves in with its customers and their keys, it is sold,
// renewed, given back, withdrawn and mended, a key gets into many hands, a second vendor comes, a customer wants to be forgotten.
// The shop speaks the storefront API, its customers have nothing but composer and what the shop shows them.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { composerIsAtLeast, createProject } from "./support/composer.mjs";
import { issueToken, startRegistry } from "./support/registry.mjs";
import { createStorefrontClient } from "./support/storefront.mjs";
import { storedZip } from "./support/zip.mjs";

const EXTENSION = "acme/extension";
const DAY = 86_400;
const YEAR = 365;
const BEGIN = Date.now();

let registry;
let shop;
/** The shop's id of the package. */
let packageId;
/** The ids of its versions, by name. */
const versions = {};
/** The consumers as they were made, by the shop's id of the customer. */
const consumers = {};
/** The customers' projects, by the same. */
const projects = {};

/** A day of the play as the storefront writes it: so many days after its begin. */
const on = (day) => new Date(BEGIN + day * DAY * 1000).toISOString().slice(0, 19).replace("T", " ");

/** Lets it be so many days after the begin. */
const letItBe = (day) => registry.moveClock(day * DAY);

/** Makes a version and uploads its zip; `fields` as the storefront takes them. */
async function release(name, fields = {}) {
  const made = await shop.request("POST", `/versions/package/${packageId}`, { json: { name, ...fields }, status: 201 });
  const zip = storedZip({ "composer.json": JSON.stringify({ name: EXTENSION }), VERSION: name });
  const answer = await registry.request(`/api/storefront/versions/${made.id}/file`, {
    method: "PUT",
    body: zip,
    headers: { authorization: `Bearer ${shop.token}`, connection: "close" },
  });
  assert.equal(answer.status, 201, await answer.text());
  versions[name] = made.id;
}

/** A customer's project, made from what the shop shows the customer. */
async function projectOf(customer) {
  const { auth_json, repositories } = await shop.request("GET", `/consumers/${consumers[customer].id}/instructions`);
  const project = createProject({
    url: repositories[0].url,
    composerJson: { repositories: [...repositories, { "packagist.org": false }], require: { [EXTENSION]: "*" } },
  });
  writeFileSync(join(project.folder, "auth.json"), JSON.stringify(auth_json));
  projects[customer] = project;
}

/** The version that a customer's composer installs now; `null` when it installs none. */
async function installed(customer) {
  const project = projects[customer];
  project.uninstall();
  project.clearCache();
  const { code } = await project.composer("update");
  return code === 0 ? project.read(`vendor/${EXTENSION}/VERSION`) : null;
}

before(async () => {
  registry = await startRegistry({ withMovedClock: true });
  shop = await createStorefrontClient(registry);
});
after(async () => {
  for (const project of Object.values(projects)) project.remove();
  await registry?.stop();
});

test("an old product moves in with the dates at which its versions came out", async () => {
  ({ id: packageId } = await shop.request("POST", "/packages", { json: { name: EXTENSION }, status: 201 }));
  await release("4.0.0", { released_at: on(-700) });
  await release("4.1.0", { released_at: on(-300) });
  const list = await shop.request("GET", `/versions/package/${packageId}`);
  assert.deepEqual(list.map(({ name, released_at }) => [name, released_at]), [["4.0.0", on(-700)], ["4.1.0", on(-300)]]);
});

test("its customers keep their keys and what they had paid for, lapsed or not", async () => {
  const moved = (customer, until) => ({
    email: `customer-${customer}@example.com`,
    customer_id: customer,
    public_key: `old-user-of-customer-${customer}`,
    private_key: `old-password-of-customer-${customer}`,
    created_at: on(-800),
    entitlements: [{ package: EXTENSION, version: "4.*", order_id: `old-${customer}`, updates_until: until }],
  });
  const list = [moved("lapsed", on(-400)), moved("current", on(-200)), moved("leaked", on(400))];
  const made = await shop.request("POST", "/consumers/import", { json: list });
  assert.deepEqual(made.map(({ result }) => result), ["created", "created", "created"]);
  const again = await shop.request("POST", "/consumers/import", { json: list });
  assert.deepEqual(again.map(({ result, id }) => [result, id]), made.map(({ id }) => ["exists", id]));
  for (const [place, { customer_id }] of list.entries()) {
    consumers[customer_id] = await shop.request("GET", `/consumers/${made[place].id}`);
    assert.equal(consumers[customer_id].private_key, list[place].private_key);
    assert.equal(consumers[customer_id].created_at, on(-800));
    await projectOf(customer_id);
  }
  assert.equal(await installed("lapsed"), "4.0.0");
  assert.equal(await installed("current"), "4.1.0");
});

test("a sale makes the customer's consumer in one request, and repeating it makes no other", async () => {
  const sale = {
    email: "buyer@example.com",
    entitlements: [{ package: EXTENSION, version: "5.*", order_id: "1001", updates_until: on(YEAR) }],
  };
  const path = "/consumers/by-customer/buyer";
  consumers.buyer = await shop.request("PUT", path, { json: sale, status: 201 });
  assert.equal((await shop.request("PUT", path, { json: sale })).id, consumers.buyer.id);
  const [{ warnings }] = consumers.buyer.entitlements;
  assert.match(warnings[0], /No version of the package matches/, "nobody can install 5.* yet, which is said");
  await projectOf("buyer");
  assert.equal(await installed("buyer"), null);
});

test("a version that is uploaded hidden is released when it is shown", async () => {
  await letItBe(30);
  await release("5.0.0");
  assert.equal(await installed("buyer"), "5.0.0");
  await letItBe(60);
  await release("5.1.0", { status: 0 });
  assert.equal(await installed("buyer"), "5.0.0");
  await letItBe(100);
  const shown = await shop.request("PATCH", `/versions/${versions["5.1.0"]}`, { json: { status: 1 } });
  assert.equal(shown.released_at.slice(0, 10), on(100).slice(0, 10));
  assert.equal(await installed("buyer"), "5.1.0");
});

test("a key that got into many hands is replaced, and the old one works until its grace is over", async () => {
  const before = consumers.leaked;
  const rotated = await shop.request("POST", `/consumers/${before.id}/rotate-keys`, { json: { grace_seconds: 7 * DAY } });
  assert.notEqual(rotated.private_key, before.private_key);
  assert.equal(await installed("leaked"), "4.1.0", "the customer has not changed anything yet");
  await letItBe(108);
  assert.equal(await installed("leaked"), null);
  projects.leaked.remove();
  await projectOf("leaked");
  assert.equal(await installed("leaked"), "4.1.0");
});

test("when the updates that were paid for end, what came out before stays, and a renewal brings the rest", async () => {
  await letItBe(YEAR + 30);
  await release("5.2.0");
  assert.equal(await installed("buyer"), "5.1.0");
  const renewed = await shop.request("PATCH", "/permissions?order_id=1001", { json: { updates_until: on(2 * YEAR) } });
  assert.equal(renewed.length, 1);
  assert.equal(await installed("buyer"), "5.2.0");
});

test("a change that did not see another one is refused, and does nothing", async () => {
  const path = `/consumers/${consumers.buyer.id}/entitlements`;
  const read = () => registry.request(`/api/storefront${path}`, { headers: { authorization: `Bearer ${shop.token}`, connection: "close" } });
  const tag = (await read()).headers.get("etag");
  await shop.request("POST", path, { json: [{ package: EXTENSION, version: "6.*", order_id: "1002" }] });
  await shop.request("PUT", path, { json: [], status: 412, headers: { "if-match": tag } });
  assert.equal((await (await read()).json()).length, 2);
});

test("a refund takes back what was bought with its order, and nothing else", async () => {
  const gone = await shop.request("DELETE", "/permissions?order_id=1002");
  assert.deepEqual(gone.map(({ version, order_id }) => [version, order_id]), [["6.*", "1002"]]);
  assert.deepEqual(await shop.request("DELETE", "/permissions?order_id=1002"), []);
  assert.equal(await installed("buyer"), "5.2.0");
});

test("a withdrawn release is kept from whoever has not got it, and its fix is for everybody who bought the version before it", async () => {
  await letItBe(YEAR + 60);
  const withdrawn = await shop.request("PATCH", `/versions/${versions["5.2.0"]}`, { json: { yanked: true } });
  assert.equal(withdrawn.yanked, true);
  const { code, output } = await projects.buyer.composer("install");
  assert.equal(code, 0, `who has it in a lock file goes on installing it: ${output}`);
  await shop.request("POST", `/packages/${packageId}/advisories`, {
    json: { affected_versions: "5.2.0", title: "Path traversal in the importer", severity: "high" },
    status: 201,
  });
  const audit = await projects.buyer.composer("audit", "--locked");
  if (composerIsAtLeast("2.4")) assert.match(audit.output, /Path traversal in the importer/);
  await release("5.2.1");
  await release("4.1.1");
  assert.equal(await installed("buyer"), "5.2.1");
  assert.equal(await installed("lapsed"), "4.0.0");
  await shop.request("PATCH", `/versions/${versions["4.1.1"]}`, { json: { security_fix: true } });
  assert.equal(await installed("lapsed"), "4.1.1", "a security fix passes the end of updates");
  const hotfix = {
    filter: { package: EXTENSION, version: "4.*" },
    add: { package: EXTENSION, version: "5.2.1", order_id: "hotfix-1" },
  };
  const dry = await shop.request("POST", "/permissions/bulk", { json: { ...hotfix, dry_run: true } });
  assert.equal(dry.added, 3);
  assert.equal((await shop.request("POST", "/permissions/bulk", { json: hotfix })).added, 3);
  assert.equal(await installed("lapsed"), "5.2.1");
});

test("a second vendor sells to the same customer, and neither sees or undoes what the other sold", async () => {
  const grants = [{ pattern: "beta/*" }];
  const { token } = await issueToken(registry, { description: "Beta", scopes: ["storefront:*"], grants });
  const beta = { authorization: `Bearer ${token}` };
  const path = `/consumers/${consumers.buyer.id}/entitlements`;
  const sale = [{ package: "beta/tool", version: "1.*", order_id: "b-1" }];
  const own = await shop.request("POST", path, { json: sale, headers: beta });
  assert.deepEqual(own.map(({ package: name }) => name), ["beta/tool"]);
  const seen = await shop.request("GET", `/consumers/${consumers.buyer.id}`, { headers: beta });
  assert.equal(seen.private_key, null);
  await shop.request("PUT", path, { json: [], headers: beta });
  assert.equal(await installed("buyer"), "5.2.1");
  await shop.request("DELETE", "/permissions?order_id=1001", { headers: beta });
  assert.equal(await installed("buyer"), "5.2.1");
});

test("the shop compares its books in a handful of requests", async () => {
  const all = await shop.request("GET", "/consumers?include=entitlements");
  assert.deepEqual(all.map(({ customer_id }) => customer_id), ["lapsed", "current", "leaked", "buyer"]);
  const of = (query) => shop.request("GET", `/permissions?${query}`);
  assert.equal((await of(`package=${EXTENSION}&version=4.*`)).length, 3);
  assert.deepEqual((await of("customer_id=buyer")).map(({ order_id }) => order_id), ["1001"]);
  const since = encodeURIComponent(on(YEAR + 59));
  assert.deepEqual((await of(`updated_since=${since}`)).map(({ order_id }) => order_id), ["hotfix-1", "hotfix-1", "hotfix-1"]);
  const installs = await shop.request("GET", `/packages/${packageId}/installs?version=5.2.1`);
  assert.ok(installs.some(({ consumer_id }) => consumer_id === consumers.buyer.id), JSON.stringify(installs));
});

test("a customer who wants to be forgotten is, and what was installed stays counted", async () => {
  await letItBe(2 * YEAR);
  const { id, email, public_key } = consumers.leaked;
  const told = await shop.request("GET", `/consumers/${id}/export`);
  assert.ok(JSON.stringify(told).includes(email));
  await shop.request("DELETE", `/consumers/${id}?erase=1`, { status: 204 });
  const database = await registry.database();
  const { results: tables } = await database.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%cf_%'").all();
  for (const { name } of tables) {
    const { results } = await database.prepare(`SELECT * FROM "${name}"`).all();
    for (const marker of [email, public_key, "old-leaked"]) {
      assert.ok(!JSON.stringify(results).includes(marker), `${name} still holds ${marker}`);
    }
  }
  assert.equal(await installed("leaked"), null);
  assert.equal(await installed("buyer"), "5.2.1", "and nobody else lost anything");
});
