// docs/storefront.md, typed word by word from its top: every command that is not below "Recipes" is run as it stands, and what
// the customer sees afterwards is what the text promises. The recipes are in storefront-recipes.test.mjs.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startGitHost } from "./support/git-host.mjs";
import { createShell, readGuide, visible } from "./support/guide.mjs";
import { ADMIN_TOKEN, issueToken, register, startRegistry } from "./support/registry.mjs";
import { storedZip } from "./support/zip.mjs";

const LIBRARY = "acme/library";
const EXTENSION = "acme/extension";
/** With `dev-main` six versions: the next one, which a command creates, is the seventh. */
const TAGS = ["4.0.0", "5.0.0", "5.1.0", "6.0.0", "7.0.0"];

const guide = readGuide();

let host;
let registry;
let folder;
let shell;
/** The keys of consumer 1. */
let keys;

/** A request of the shop beside the guide; the answer. */
const ask = (path, options) => registry.request(path, { headers: { authorization: `Bearer ${shell.variables.SHOP}`, connection: "close" }, ...options });

/** A change by the shop beside the guide, which brings about what a section takes for granted. */
async function change(path, fields) {
  const answer = await ask(`/api/storefront${path}`, { method: "PATCH", body: JSON.stringify(fields) });
  assert.equal(answer.status, 200, await answer.text());
}

const bodies = (answers) => answers.map(({ body }) => body);

before(async () => {
  host = await startGitHost();
  registry = await startRegistry();
  const library = host.repository(LIBRARY);
  for (const tag of TAGS) {
    library.commit({ "composer.json": JSON.stringify({ name: LIBRARY }), "VERSION": tag });
    library.tag(tag);
  }
  const { sync_status, error } = await register(registry, { url: host.urlOf(LIBRARY) });
  assert.equal(sync_status, "ok", error);
  folder = mkdtempSync(join(tmpdir(), "rostrum-storefront-"));
  writeFileSync(join(folder, "extension.zip"), storedZip({ "composer.json": JSON.stringify({ name: EXTENSION }) }));
  shell = createShell({ folder, variables: { TOKEN: ADMIN_TOKEN, URL: registry.url } });
});
after(async () => {
  if (folder !== undefined) rmSync(folder, { recursive: true });
  await registry?.stop();
  await host?.stop();
});

test("the shop's commands sell, renew, upgrade and refund", async () => {
  const seen = {};
  const onAnswer = async ({ comment, body }) => {
    if (body?.public_key !== undefined) keys = body;
    if (keys !== undefined) seen[comment.replace(/(\w+).*/, "$1")] = await visible(registry, LIBRARY, keys);
  };
  await shell.run(guide.block("Sell with it"), { onAnswer });
  const [five, six] = [["5.1.0", "5.0.0"], ["6.0.0", "5.1.0", "5.0.0"]];
  assert.deepEqual(seen, { Purchase: five, Renewal: five, Upgrade: six, Refund: [] });
});

test("the commands for a second order find the consumer that there is, and give it one permission more", async () => {
  const consumers = async () => (await ask("/api/storefront/consumers")).json();
  const before = await consumers();
  const [sale, addition] = bodies(await shell.run(guide.block("Sell with it", { at: 1 })));
  const { entitlements, ...consumer } = sale;
  assert.deepEqual([consumer], before, "with the keys it has, and no other one is made");
  const [permission] = entitlements;
  assert.deepEqual([entitlements.length, permission.package, permission.order_id], [1, EXTENSION, "1002"]);
  assert.deepEqual(addition, [permission], "the other way adds the same");
});

test("the webhook's command makes one that is told of the events it names", async () => {
  const [{ command, body }] = await shell.run(guide.block("Sell with it", { at: 2 }));
  const [, named] = /"events": (\[.*?\])/.exec(command);
  assert.deepEqual(body.events.toSorted(), JSON.parse(named).toSorted());
  assert.ok(body.secret.length >= 16);
});

test("the commands for plain tokens sell, renew, upgrade and refund", async () => {
  const { token: own } = await issueToken(registry, { description: "Shop", scopes: ["packages:read", "tokens:*"] });
  const plain = createShell({ folder, variables: { ...shell.variables, SHOP: own } });
  const seen = [];
  let sold;
  const onAnswer = async ({ body }) => {
    if (body?.token !== undefined) sold = { public_key: "token", private_key: body.token };
    seen.push((await visible(registry, LIBRARY, sold))?.length);
  };
  const answers = await plain.run(guide.block("Sell with it", { at: 3 }), { onAnswer });
  const all = TAGS.length + 1;
  assert.deepEqual(seen, [all, all, all, all, undefined], "until the refund, after which the token is refused");
  const [, , renewed, upgraded] = bodies(answers);
  assert.equal(renewed.expires_at, 1861920000);
  assert.equal(upgraded.grants.length, 2);
});

test("a token for support is shown no key, and changes nothing", async () => {
  const [{ body: issued }, { body: list }, { status }] = await shell.run(guide.block("Which scopes a shop needs"));
  assert.deepEqual(issued.scopes, ["storefront:read"]);
  assert.deepEqual(list.map(({ private_key }) => private_key), [null]);
  assert.equal(status, 403);
});

test("what is withdrawn is not required any more, goes on for who has it, and is told to them", async () => {
  await change("/versions/7", { status: 1 });
  assert.deepEqual(await visible(registry, EXTENSION, keys), ["5.0.0"]);
  const [version, extension, advisory] = bodies(await shell.run(guide.block("Withdrawing")));
  assert.deepEqual([version.yanked, extension.abandoned], [true, "acme/successor"]);
  assert.equal(advisory.affected_versions, "<5.1.2");
  assert.deepEqual(await visible(registry, EXTENSION, keys), []);
  const authorization = `Basic ${Buffer.from(`${keys.public_key}:${keys.private_key}`).toString("base64")}`;
  const headers = { authorization, connection: "close" };
  const zip = await registry.request(`/dist/${EXTENSION}/5.0.0.zip`, { headers });
  assert.equal(zip.status, 200);
  assert.ok((await zip.arrayBuffer()).byteLength > 0);
  const body = new URLSearchParams({ "packages[]": EXTENSION });
  const told = await registry.request("/security-advisories", { method: "POST", headers, body });
  assert.deepEqual((await told.json()).advisories[EXTENSION].map(({ title }) => title), ["Path traversal in the importer"]);
});

test("the change of many permissions says what it would do, and does it for everybody who has such a one", async () => {
  const body = guide.block("Consumers and permissions", { language: "json" });
  const bulk = async (json) => (await ask("/api/storefront/permissions/bulk", { method: "POST", body: json })).json();
  const has = async () => (await (await ask("/api/storefront/permissions?package=acme/extension")).json()).map(({ version }) => version);
  const dry = await bulk(body);
  assert.deepEqual([dry.dry_run, dry.consumers, dry.added], [true, [1], 1]);
  assert.deepEqual(await has(), ["5.*"]);
  assert.equal((await bulk(JSON.stringify({ ...JSON.parse(body), dry_run: false }))).added, 1);
  assert.deepEqual(await has(), ["5.*", "6.0.1"]);
});

test("a version that moves here is made with the date that is stated", async () => {
  const [{ body }] = await shell.run(guide.block("Which date sells"));
  assert.deepEqual([body.name, body.released_at], ["4.2.0", "2025-03-01 00:00:00"]);
});

test("a security fix reaches a customer whose updates have ended", async () => {
  await change("/versions/7", { yanked: false });
  await change("/permissions?order_id=1002", { updates_until: "2020-01-01" });
  assert.deepEqual(await visible(registry, EXTENSION, keys), []);
  const [{ body }] = await shell.run(guide.block("Security fixes"));
  assert.equal(body.security_fix, true);
  assert.deepEqual(await visible(registry, EXTENSION, keys), ["5.0.0"]);
});

test("what is known of a consumer is handed out, and forgotten", async () => {
  const [exported, { status }] = await shell.run(guide.block("Erasure and export"));
  assert.equal(exported.body.complete, true);
  assert.ok(JSON.stringify(exported.body).includes(keys.email));
  assert.equal(status, 204);
  assert.equal(await visible(registry, EXTENSION, keys), null);
  assert.deepEqual(await (await ask(`/api/storefront/consumers?email=${keys.email}`)).json(), []);
});

test("no command of the guide is left out", () => {
  const elsewhere = ["A beta programme", "A team with seats", "A leaked key", "Moving in", "Several vendors", "Staging"];
  assert.deepEqual(guide.left("Clients", ...elsewhere), []);
});
