// A registry that is killed while zips are uploaded, versions are changed, tokens are rotated and secrets are sealed anew: what it
// acknowledged is there when it runs again, and nobody reads anything half-written.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { downloadOf, killAtRandom, metadataOf, sha1, zipOf } from "./support/kills.mjs";
import { ENCRYPTION_KEY, issueToken, startRegistry } from "./support/registry.mjs";
import { createStorefrontClient } from "./support/storefront.mjs";

let registry;
/** Reads every package. */
let reader;

before(async () => {
  registry = await startRegistry();
  reader = (await issueToken(registry, { rate_limit_max: 1_000_000 })).token;
});
after(() => registry?.stop());

const bearer = (token) => ({ authorization: `Bearer ${token}`, connection: "close" });

/** A token that uploads. */
async function writer() {
  return (await issueToken(registry, { permissions: "write", rate_limit_max: 1_000_000 })).token;
}

const put = (token, name, version, body) =>
  registry.request(`/api/packages/${name}/versions/${version}`, { method: "PUT", body, headers: bearer(token) });

test("an upload that was acknowledged is there after a kill, and one that was not is there as a whole or can be sent again", async (t) => {
  const NAMES = ["acme/small", "acme/middle", "acme/large"];
  const BYTES = { "acme/small": 2_000, "acme/middle": 300_000, "acme/large": 5_400_000 };
  const tokens = Object.fromEntries(await Promise.all(NAMES.map(async (name) => [name, await writer()])));
  /** `name version` → the SHA-1 of the zip that was acknowledged. */
  const acknowledged = new Map();
  let cutOff = [];
  const uploads = async (name, kill, isAlive) => {
    for (let number = 0; isAlive(); number += 1) {
      const version = `1.${kill}.${number}`;
      const zip = zipOf(name, version, BYTES[name]);
      cutOff.push({ name, version, zip });
      const { status } = await put(tokens[name], name, version, zip);
      assert.equal(status, 201, `${name} ${version}`);
      acknowledged.set(`${name} ${version}`, sha1(zip));
      cutOff = cutOff.filter((other) => other.zip !== zip);
    }
  };
  await killAtRandom(t, registry, {
    span: 700,
    work: (isAlive, kill) => NAMES.map((name) => uploads(name, kill, isAlive)),
    async check(kill) {
      for (const name of NAMES) {
        const read = await metadataOf(registry, reader, name);
        for (const [key, hash] of acknowledged) {
          if (key.startsWith(`${name} `)) assert.equal(read.get(key.split(" ")[1])?.dist.shasum, hash, key);
        }
        for (const [version, metadata] of read) {
          if (!version.startsWith(`1.${kill}.`)) continue;
          const sent = acknowledged.get(`${name} ${version}`) ?? sha1(cutOff.find((one) => one.version === version).zip);
          assert.equal(await downloadOf(registry, reader, metadata), sent, `${name} ${version}`);
        }
      }
      for (const { name, version, zip } of cutOff.splice(0)) {
        const { status } = await put(tokens[name], name, version, zip);
        assert.ok([200, 201].includes(status), `${name} ${version}: ${status}`);
        acknowledged.set(`${name} ${version}`, sha1(zip));
      }
    },
  });
  t.diagnostic(`${acknowledged.size} uploads`);
});

test("what was published, taken back and said of a package stands after a kill as it was acknowledged last", async (t) => {
  const NAME = "acme/changed";
  const VERSIONS = ["1.0.0", "1.1.0", "1.2.0"];
  const token = await writer();
  for (const version of VERSIONS) assert.equal((await put(token, NAME, version, zipOf(NAME, version, 2_000))).status, 201);
  const at = `/api/packages/${encodeURIComponent(NAME)}`;
  /** Each thing that is changed: what it is by the last answer, and what was asked last. */
  const things = Object.fromEntries(VERSIONS.slice(1).map((version) => [version, { is: true, asked: true }]));
  const change = async (thing, value, path, options) => {
    things[thing] = { is: things[thing]?.is, asked: value };
    const headers = { ...bearer(token), "content-type": "application/json" };
    const answer = await registry.request(at + path, { ...options, headers });
    assert.ok(answer.ok, `${thing}: ${answer.status} ${await answer.text()}`);
    things[thing] = { is: value, asked: value };
  };
  const yanks = async (version, isAlive) => {
    for (let isYanked = true; isAlive(); isYanked = !isYanked) {
      await change(version, !isYanked, `/versions/${version}/${isYanked ? "yank" : "unyank"}`, { method: "POST" });
    }
  };
  const abandons = async (isAlive) => {
    for (let number = 0; isAlive(); number += 1) {
      const successor = `acme/successor-${number}`;
      await change("abandoned", successor, "", { method: "PATCH", body: JSON.stringify({ abandoned: successor }) });
    }
  };
  await killAtRandom(t, registry, {
    span: 500,
    work: (isAlive) => [...VERSIONS.slice(1).map((version) => yanks(version, isAlive)), abandons(isAlive)],
    async check() {
      const read = await metadataOf(registry, reader, NAME);
      const found = Object.fromEntries(VERSIONS.map((version) => [version, read.has(version)]));
      found.abandoned = read.get("1.0.0").abandoned;
      for (const [thing, { is, asked }] of Object.entries(things)) {
        assert.ok([is, asked].includes(found[thing]), `${thing} is ${found[thing]}: ${is} was acknowledged, ${asked} was asked`);
        things[thing] = { is: found[thing], asked: found[thing] };
      }
      for (const metadata of read.values()) {
        assert.equal(metadata.abandoned, found.abandoned, "all versions tell the same successor");
        assert.equal(await downloadOf(registry, reader, metadata), sha1(zipOf(NAME, metadata.version, 2_000)));
      }
    },
  });
});

test("a rotated token works with the secret that was acknowledged last, and a cut-off rotation is answered when it is repeated", async (t) => {
  const TOKENS = 3;
  const issued = await Promise.all(Array.from({ length: TOKENS }, () => issueToken(registry, { rate_limit_max: 1_000_000 })));
  const tokens = issued.map(({ id, token }) => ({ id, secrets: [token], key: null }));
  const rotate = (id, key) =>
    registry.admin(`/api/tokens/${id}/rotate`, { json: { grace_seconds: 0 }, headers: { "idempotency-key": key } });
  const rotations = async (token, isAlive) => {
    while (isAlive()) {
      token.key = randomBytes(12).toString("hex");
      const answer = await rotate(token.id, token.key);
      assert.ok(answer.ok, `${answer.status}`);
      token.secrets.unshift((await answer.json()).token);
      token.key = null;
    }
  };
  const isAccepted = async (secret) => {
    const { status } = await registry.request("/packages.json", { headers: bearer(secret) });
    assert.ok([200, 401].includes(status), `${status}`);
    return status === 200;
  };
  await killAtRandom(t, registry, {
    span: 250,
    work: (isAlive) => tokens.map((token) => rotations(token, isAlive)),
    async check() {
      // As if the minute had passed for which a request that was cut off stands in the way of its repetition.
      await (await registry.database()).prepare("UPDATE idempotency_keys SET lease_until = 0").run();
      for (const token of tokens) {
        if (token.key === null) assert.ok(await isAccepted(token.secrets[0]), "the acknowledged secret is refused");
        else {
          const answer = await rotate(token.id, token.key);
          assert.ok(answer.ok, `${answer.status}`);
          token.secrets.unshift((await answer.json()).token);
          token.key = null;
          assert.ok(await isAccepted(token.secrets[0]), "the repeated rotation tells a secret that is refused");
        }
        for (const old of token.secrets.splice(1).slice(0, 2)) assert.ok(!(await isAccepted(old)), "an old secret is accepted");
      }
    },
  });
});

test("secrets that are sealed anew can all be opened after a kill, and in the end by the newest key alone", async (t) => {
  const CONSUMERS = 140;
  const { request } = await createStorefrontClient(registry);
  const create = (number) => request("POST", "/consumers", { json: { email: `customer-${number}@example.com` }, status: 201 });
  const consumers = [];
  for (let number = 0; number < CONSUMERS; number += 20) {
    consumers.push(...(await Promise.all(Array.from({ length: 20 }, (_, at) => create(number + at)))));
  }
  /** The newest first. */
  const keys = [ENCRYPTION_KEY];
  const withAnotherKey = () => {
    keys.unshift(randomBytes(32).toString("base64"));
    return { ENCRYPTION_KEY: keys.join() };
  };
  const seals = async (isAlive) => {
    for (let remaining = 1; isAlive() && remaining > 0; ) {
      const answer = await registry.admin("/api/encryption/rotate", { method: "POST" });
      assert.equal(answer.status, 200);
      const done = await answer.json();
      assert.equal(done.unreadable, 0);
      remaining = done.remaining;
    }
  };
  const opensAll = async (some) => {
    for (const { id, private_key } of some) assert.equal((await request("GET", `/consumers/${id}`)).private_key, private_key);
  };
  await registry.restart({ bindings: withAnotherKey() });
  await killAtRandom(t, registry, {
    span: 250,
    work: (isAlive) => [seals(isAlive)],
    bindings: withAnotherKey,
    check: () => opensAll([consumers[0], consumers[99], consumers.at(-1)]),
  });
  await seals(() => true);
  await registry.restart({ bindings: { ENCRYPTION_KEY: keys[0] } });
  await opensAll(consumers);
});
