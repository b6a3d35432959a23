// Visitors of the two APIs: whoever manages the registry, and a shop's back end. What they make they take away again, but for the
// last few, which are looked at in the end.

import { storedZip } from "../../tests/e2e/support/zip.mjs";
import { asComposer, asStranger, expand } from "./readers.mjs";
import { LIBRARIES, oneOf, pause } from "./world.mjs";

/** How many tokens, consumers and advisories a visitor leaves. */
const KEPT = 5;

/** Lists and documents that managers look at. */
const LOOKS = [
  "/api/packages?limit=20",
  "/api/packages?search=library",
  "/api/repositories?limit=50",
  "/api/tokens?limit=50",
  "/api/settings",
  "/api/statistics",
  "/api/audit-log?limit=50",
  "/api/advisories?limit=50",
  "/api/artifacts?limit=50",
  "/api/users",
  "/api/encryption",
  `/api/packages/${encodeURIComponent(LIBRARIES[0])}`,
  `/api/packages/${encodeURIComponent(LIBRARIES[1])}/versions`,
  `/api/packages/${encodeURIComponent(LIBRARIES[2])}/stats`,
  `/api/packages/${encodeURIComponent(LIBRARIES[3])}/dependents`,
];

const read = (answer) => JSON.parse(answer.body);

/** A client that asks with this token; a path may have any number of expected statuses. */
function client(ask, token) {
  const headers = { authorization: `Bearer ${token}` };
  return (kind, method, path, { json, body, expected = [200] } = {}) => ask(kind, { method, path, headers, json, body, expected });
}

/** Takes the oldest of `made` until `KEPT` are left. */
async function takeAway(made, remove) {
  while (made.length > KEPT) await remove(made.shift());
}

export async function management({ ask }, world, isOver) {
  const call = client(ask, world.manager);
  const [tokens, advisories] = [[], []];
  while (!isOver()) {
    await tokenLife(ask, call, world, tokens);
    await pause(500, 1500);
    await advisoryLife(call, world, advisories);
    for (let look = 0; look < 3; look += 1) await call("look", "GET", oneOf(LOOKS));
    await changeVersion(call);
    await pause(500, 1500);
  }
}

/** Issues a token, changes it, gives it another secret, sees that it works, and revokes an older one. */
async function tokenLife(ask, call, world, made) {
  const { tokens } = world.acknowledged;
  const spec = { description: "Soak", allowed_package_prefixes: ["soak/"], rate_limit_max: 1_000_000 };
  const issued = await call("token: issue", "POST", "/api/tokens", { json: spec, expected: [201] });
  if (issued?.status !== 201) return;
  const { id, token } = read(issued);
  tokens.set(token, true);
  made.push({ id, secret: token });
  await ask("token: use", { path: "/packages.json", headers: asComposer({ token }) });
  await call("token: change", "PATCH", `/api/tokens/${id}`, { json: { metadata: { order_id: "7" } } });
  tokens.delete(token);
  const rotated = await call("token: rotate", "POST", `/api/tokens/${id}/rotate`, { json: { grace_seconds: 0 } });
  if (rotated?.status === 200) {
    made.at(-1).secret = read(rotated).token;
    tokens.set(made.at(-1).secret, true);
    await ask("token: use of the old secret", { path: "/packages.json", headers: asStranger({ token }), expected: [401] });
  }
  await takeAway(made, async (old) => {
    tokens.delete(old.secret);
    const revoked = await call("token: revoke", "DELETE", `/api/tokens/${old.id}`);
    if (revoked?.status === 200) tokens.set(old.secret, false);
  });
}

async function advisoryLife(call, world, made) {
  const { advisories } = world.acknowledged;
  const spec = { package: oneOf(LIBRARIES), affected_versions: "<0.5", title: "A flaw" };
  const created = await call("advisory: create", "POST", "/api/advisories", { json: spec, expected: [201] });
  if (created?.status !== 201) return;
  const { id } = read(created);
  advisories.set(id, true);
  made.push(id);
  await call("advisory: change", "PATCH", `/api/advisories/${id}`, { json: { title: "A flaw of old versions" } });
  await takeAway(made, async (old) => {
    advisories.delete(old);
    const deleted = await call("advisory: delete", "DELETE", `/api/advisories/${old}`);
    if (deleted !== null && deleted.status < 300) advisories.set(old, false);
  });
}

/** Takes a version out of the metadata and puts it back; another visitor may be doing the same. */
async function changeVersion(call) {
  const at = `/api/packages/${encodeURIComponent(LIBRARIES[4])}/versions/v0.${Math.floor(Math.random() * 10)}.0`;
  for (const change of ["yank", "unyank"]) {
    await call("version: yank and unyank", "POST", `${at}/${change}`, { expected: [200, 409] });
  }
}

export async function storefront({ ask }, world, isOver, number) {
  const call = client(ask, world.seller);
  const consumers = [];
  const name = `soak/sold-${number}`;
  const made = await call("catalog: create", "POST", "/api/storefront/packages", { json: { name }, expected: [201] });
  const packageId = made === null ? null : read(made).id;
  for (let count = 0; !isOver(); count += 1) {
    await consumerLife(ask, call, world, consumers, `customer-${number}-${count}@example.com`);
    await pause(500, 1500);
    await sale(call, packageId, name, `1.${count}.0`);
    await pause(500, 1500);
  }
}

/** Creates a consumer, lets them install one library, sees that they can, and deletes an older one. */
async function consumerLife(ask, call, world, made, email) {
  const ledger = world.acknowledged.consumers;
  const created = await call("consumer: create", "POST", "/api/storefront/consumers", { json: { email }, expected: [201] });
  if (created?.status !== 201) return;
  const { id, public_key: user, private_key: token } = read(created);
  const at = `/api/storefront/consumers/${id}`;
  made.push(id);
  const sees = oneOf(LIBRARIES);
  const entitlements = [{ package: sees, version: "0.*" }];
  const granted = await call("consumer: entitlements", "PUT", `${at}/entitlements`, { json: entitlements });
  if (granted?.status === 200) ledger.set(id, { user, token, sees });
  await call("consumer: instructions", "GET", `${at}/instructions`);
  const headers = asComposer({ user, token });
  const answer = await ask("p2 of a consumer", { path: `/p2/${sees}.json`, headers });
  if (answer?.status === 200 && expand(answer.body, sees).size === 0) world.records.tell(`consumer ${id} does not see ${sees}`);
  const seat = await call("consumer: token", "POST", `${at}/tokens`, { json: { description: "CI" }, expected: [201] });
  if (seat?.status === 201) await call("consumer: token revoked", "DELETE", `${at}/tokens/${read(seat).id}`, { expected: [204] });
  await call("consumer: disable", "PATCH", at, { json: { status: 0 } });
  const disabled = asStranger({ user, token });
  await ask("p2 of a disabled consumer", { path: `/p2/${sees}.json`, headers: disabled, expected: [401, 403] });
  await call("consumer: enable", "PATCH", at, { json: { status: 1 } });
  await call("consumer: list", "GET", "/api/storefront/consumers?limit=20");
  await takeAway(made, async (old) => {
    const known = ledger.get(old);
    ledger.delete(old);
    const deleted = await call("consumer: delete", "DELETE", `/api/storefront/consumers/${old}`, { expected: [204] });
    if (deleted?.status === 204 && known) ledger.set(old, { ...known, sees: null });
  });
}

/** Creates a version, uploads its zip, hides and shows it, and deletes it. */
async function sale(call, packageId, name, version) {
  const path = `/api/storefront/versions/package/${packageId}`;
  const created = await call("catalog: version", "POST", path, { json: { name: version }, expected: [201] });
  if (created?.status !== 201) return;
  const { id } = read(created);
  const at = `/api/storefront/versions/${id}`;
  const body = storedZip({ "composer.json": JSON.stringify({ name }), "src/Sold.php": `<?php // ${version}\n` });
  await call("catalog: file", "PUT", `${at}/file`, { body, expected: [200, 201] });
  for (const status of [0, 1]) await call("catalog: status", "PATCH", at, { json: { status } });
  await call("catalog: delete", "DELETE", at, { expected: [204] });
}
