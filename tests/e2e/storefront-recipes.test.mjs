// "Recipes" of docs/storefront.md, typed word by word: every command is run as it stands, and what the customer sees afterwards
// is what the text promises.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { root } from "../../scripts/lib/paths.mjs";
import { spawnSync } from "node:child_process";
import { startGitHost } from "./support/git-host.mjs";
import { createShell, readGuide, visible } from "./support/guide.mjs";
import { ADMIN_TOKEN, register, startRegistry } from "./support/registry.mjs";
import { startByHand } from "./support/start.mjs";
import { createStorefrontClient } from "./support/storefront.mjs";
import { storedZip } from "./support/zip.mjs";

const LIBRARY = "acme/library";
const TOOL = "beta/tool";
const CLASSIC = "acme/classic";
const TAGS = { [LIBRARY]: ["5.0.0", "5.1.0", "6.0.0-beta1"], [TOOL]: ["1.0.0"] };

const guide = readGuide();

let host;
let registry;
let shop;
let folder;
let shell;

/** Runs the commands below a heading; their answers. `onAnswer` is called with each. */
const follow = (heading, options) => shell.run(guide.block(heading), options);

/** The key pair of the consumer that the commands are about. */
const consumer = () => shop.request("GET", `/consumers/${shell.variables.CONSUMER}`);

/** The credentials that a token of a consumer is. */
const seat = (body) => ({ public_key: "token", private_key: body.token });

before(async () => {
  host = await startGitHost();
  registry = await startRegistry();
  for (const [name, tags] of Object.entries(TAGS)) {
    const repository = host.repository(name);
    for (const tag of tags) {
      repository.commit({ "composer.json": JSON.stringify({ name }), "VERSION": tag });
      repository.tag(tag);
    }
    const { sync_status, error } = await register(registry, { url: host.urlOf(name) });
    assert.equal(sync_status, "ok", error);
  }
  shop = await createStorefrontClient(registry);
  folder = mkdtempSync(join(tmpdir(), "rostrum-recipes-"));
  writeFileSync(join(folder, "classic-4.2.0.zip"), storedZip({ "composer.json": JSON.stringify({ name: CLASSIC }) }));
  shell = createShell({ folder, variables: { TOKEN: ADMIN_TOKEN, URL: registry.url, SHOP: shop.token } });
});
after(async () => {
  if (folder !== undefined) rmSync(folder, { recursive: true });
  await registry?.stop();
  await host?.stop();
});

test("who takes part in a beta programme gets the betas until it is over, and keeps what was bought", async () => {
  await shop.request("PUT", "/consumers/by-customer/51", {
    json: { email: "tester@example.com", entitlements: [{ package: LIBRARY, version: "5.*", order_id: "1051" }] },
    status: 201,
  });
  const seen = [];
  let keys;
  const onAnswer = async ({ body }) => {
    keys ??= body;
    seen.push(await visible(registry, LIBRARY, keys));
  };
  const [, told, takingPart, over] = await follow("A beta programme", { onAnswer });
  assert.equal(told.body.require[LIBRARY], "5.* || 6.*@beta");
  assert.deepEqual(takingPart.body.map(({ consumer_id, minimum_stability }) => [consumer_id, minimum_stability]), [[keys.id, "beta"]]);
  assert.equal(over.body.length, 1);
  const [five, six] = [["5.1.0", "5.0.0"], ["6.0.0-beta1", "5.1.0", "5.0.0"]];
  assert.deepEqual(seen, [six, six, six, five]);
});

test("each of a team has a token of their own, which goes when they leave or the seats become fewer", async () => {
  const tokens = {};
  const sees = {};
  const onAnswer = async ({ body, comment }) => {
    if (body?.token !== undefined) tokens[body.description] = seat(body);
    const now = {};
    for (const [name, token] of Object.entries(tokens)) now[name] = (await visible(registry, LIBRARY, token)) !== null;
    sees[comment.split(" ", 1)] = now;
  };
  const answers = await follow("A team with seats", { onAnswer });
  const [, , , , full, told, inUse, , tooMany] = answers;
  assert.match(full.body.error, /Every seat of this consumer is taken/);
  assert.ok(told.body.commands.some((line) => line.includes("<password>")), "Ada's token is put in its place");
  assert.deepEqual(inUse.body.map(({ description }) => description), ["Ada", "Grace", "build server"]);
  assert.ok(inUse.body.every((token) => "last_used_at" in token));
  assert.equal(tooMany.body.details.seats.length, 2, JSON.stringify(tooMany.body));
  assert.deepEqual(sees["Ada"], { Ada: false, Grace: true, "build server": true });
  assert.deepEqual(sees["From"], { Ada: false, Grace: false, "build server": true });
});

test("a leaked key pair ends when the recipe says so, and the new one works then", async () => {
  const sale = { email: "leak@example.com", entitlements: [{ package: LIBRARY, version: "5.*", order_id: "1060" }] };
  const sold = await shop.request("POST", "/consumers", { json: sale, status: 201 });
  shell.variables.CONSUMER = String(sold.id);
  const pairs = [sold];
  const works = [];
  const onAnswer = async ({ body }) => {
    if (pairs.every((pair) => pair.private_key !== (body.private_key ?? pair.private_key))) pairs.push(body);
    const now = [];
    for (const pair of pairs) now.push((await visible(registry, LIBRARY, pair)) !== null);
    works.push(now);
  };
  const answers = await follow("A leaked key", { onAnswer });
  assert.deepEqual(works, [
    [true, true],
    [false, false, true],
    [false, false, false],
    [false, false, true],
    [false, false, true],
  ]);
  assert.ok(JSON.stringify(answers.at(-1).body.auth_json).includes(pairs.at(-1).private_key));
});

test("an old product moves in with the dates of its releases, and its customers with their keys", async () => {
  await follow("Moving in");
  const { PACKAGE: id } = shell.variables;
  await shop.request("POST", `/versions/package/${id}`, { json: { name: "4.3.0" }, status: 201 });
  const [, { id: later }] = await shop.request("GET", `/versions/package/${id}`);
  const zip = storedZip({ "composer.json": JSON.stringify({ name: CLASSIC }), VERSION: "4.3.0" });
  const uploaded = await registry.request(`/api/storefront/versions/${later}/file`, {
    method: "PUT",
    body: zip,
    headers: { authorization: `Bearer ${shop.token}`, connection: "close" },
  });
  assert.equal(uploaded.status, 201, await uploaded.text());
  const [moved] = await shop.request("GET", "/consumers?customer_id=53");
  assert.deepEqual([moved.private_key, moved.created_at], ["password-of-customer-53", "2019-05-01 10:00:00"]);
  assert.deepEqual(await visible(registry, CLASSIC, moved), ["4.2.0"], "what came out before the updates ended, and nothing later");
});

test("two vendors sell to one customer, and neither sees or takes back what the other sold", async () => {
  const answers = await follow("Several vendors");
  const [found, list, revoked] = answers.slice(-4).filter(({ command }) => !command.includes("-X POST"));
  assert.equal(found.body[0].private_key, null);
  assert.deepEqual(list.body.map((permission) => permission.package), [TOOL]);
  assert.deepEqual(revoked.body, []);
  const both = await consumer();
  assert.deepEqual(await visible(registry, LIBRARY, both), ["5.1.0", "5.0.0"]);
  assert.deepEqual(await visible(registry, TOOL, both), ["1.0.0"]);
});

test("the staging shop has a registry of its own on this machine, which knows nobody of the other", async () => {
  const staging = await startByHand({ command: guide.block("Staging") });
  try {
    const { token } = await (await staging.admin("/api/tokens", { json: { description: "Shop", scopes: ["storefront:*"] } })).json();
    const there = createShell({ folder, variables: { ...shell.variables, URL: staging.url, SHOP: token } });
    const [sale] = await there.run(guide.block("A beta programme"));
    assert.equal(sale.body.id, 1, "the first consumer that there is");
    const { status } = await shell.ask(`curl ${staging.url}/api/storefront/consumers -H "Authorization: Bearer $SHOP"`);
    assert.equal(status, 401);
  } finally {
    await staging.stop();
  }
});

test("the staging shop's registry shares nothing with the other in the account", () => {
  const names = (text) => [...text.matchAll(/^(?:name|database_name|bucket_name|queue|namespace_id) = "([^"]+)"$/gm)].map(([, name]) => name);
  const production = readFileSync(join(root, "wrangler.toml"), "utf8");
  writeFileSync(join(folder, "wrangler.toml"), production);
  const { status, stderr } = spawnSync("bash", ["-c", guide.block("Staging", { at: 1 })], { cwd: folder, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  const staging = names(readFileSync(join(folder, "wrangler.toml"), "utf8"));
  const same = names(production).filter((name) => staging.includes(name));
  assert.deepEqual(same, ["CREDENTIAL_LOOKUPS"], "which is how the code calls the counter");
  assert.equal(staging.length, names(production).length);
});

test("no recipe is left out", () => {
  const elsewhere = ["Sell with it", "Clients", "Which scopes a shop needs", "Withdrawing", "Which date sells", "Security fixes", "Erasure and export"];
  assert.deepEqual(guide.left(...elsewhere), []);
});
