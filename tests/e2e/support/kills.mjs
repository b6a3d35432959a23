// A registry that is killed at random moments and started again on its state, ten times a test.
//
// The moments come of a seed, which each test prints; KILL_SEED=… gives it one. What is under way at a moment varies with the
// machine all the same.

import assert from "node:assert/strict";
import { createCipheriv, createHash } from "node:crypto";
import { storedZip } from "./zip.mjs";

/** How often each test kills it. */
export const KILLS = Number(process.env.KILLS ?? 10);

const seed = Number(process.env.KILL_SEED ?? Date.now() % 1_000_000_000);

/** Random numbers from 0 to below 1 (mulberry32), of the seed that the test `t` tells. */
export function randomNumbers(t) {
  t.diagnostic(`KILL_SEED=${seed}`);
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * For the test `t`, ten times: begins `work(isAlive, kill)`, whose promises may go on for as long as `isAlive()`, kills the
 * registry at a random moment of the next `span` milliseconds, starts it again with `bindings(kill)`, and has `check(kill)` look.
 * What fails because the registry was killed is expected; any other failure of `work` is one of the test.
 */
export async function killAtRandom(t, registry, { span, work, check, bindings = () => ({}) }) {
  const random = randomNumbers(t);
  for (let kill = 1; kill <= KILLS; kill += 1) {
    let isAlive = true;
    const works = work(() => isAlive, kill);
    const ends = Promise.allSettled(works);
    const isTime = new Promise((resolve) => setTimeout(resolve, random() * span));
    await Promise.race([isTime, ...works.map((each) => each.then(() => isTime))]);
    isAlive = false;
    await registry.kill();
    const unexpected = (await ends).find(({ reason }) => reason !== undefined && !isCutOff(reason));
    if (unexpected) throw unexpected.reason;
    await registry.restart({ bindings: bindings(kill) });
    assert.equal((await registry.request("/health")).status, 200);
    await check(kill);
  }
}

/**
 * Whether an error says that the connection ended, and nothing of an answer. `fetch` throws no other TypeErrors; what came of an
 * answer after which the connection was to end anyway it takes for the whole of it, and a part of a JSON text is none.
 */
const isCutOff = (error) => error instanceof TypeError || error instanceof SyntaxError;

/** Random bytes for the content of the zip with this name: the same for the same seed. */
export function contentOf(name, length) {
  const key = createHash("sha256").update(`${seed} ${name}`).digest();
  return createCipheriv("aes-256-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** A zip of the package `name`, with so many bytes of content that nothing compresses. */
export function zipOf(name, version, length) {
  return storedZip({ "composer.json": JSON.stringify({ name }), "content.bin": contentOf(`${name} ${version}`, length) });
}

export const sha1 = (bytes) => createHash("sha1").update(bytes).digest("hex");

const asComposer = (token) => ({ authorization: `Bearer ${token}`, "user-agent": "Composer/2.8.1" });

/**
 * What a composer with this token is told of the package: version → its metadata, of stable and of dev versions. Throws if the two
 * documents are not whole.
 */
export async function metadataOf(registry, token, name) {
  const versions = new Map();
  for (const document of [name, `${name}~dev`]) {
    const answer = await registry.request(`/p2/${document}.json`, { headers: asComposer(token) });
    if (answer.status === 404) continue;
    assert.equal(answer.status, 200, document);
    const { packages } = await answer.json();
    let whole = {};
    for (const difference of packages[name] ?? []) {
      whole = { ...whole, ...difference };
      for (const [field, value] of Object.entries(difference)) if (value === "__unset") delete whole[field];
      versions.set(whole.version, whole);
    }
  }
  return versions;
}

/** Downloads the zip that the metadata names, and sees that it is the one that the metadata promises; its SHA-1. */
export async function downloadOf(registry, token, { name, version, dist }) {
  const answer = await registry.request(dist.url, { headers: asComposer(token) });
  assert.equal(answer.status, 200, `${name} ${version}`);
  const hash = sha1(Buffer.from(await answer.arrayBuffer()));
  if (dist.shasum) assert.equal(hash, dist.shasum, `${name} ${version}`);
  return hash;
}
