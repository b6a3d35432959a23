// Visitors that publish: zips that are uploaded and deleted again, and tags that are pushed and removed again, so that what there
// is does not grow.

import { randomBytes } from "node:crypto";
import { storedZip } from "../../tests/e2e/support/zip.mjs";
import { register } from "../registry.mjs";
import { asComposer, expand, sha1 } from "./readers.mjs";
import { oneOf, pause } from "./world.mjs";

/** Versions that a package keeps. */
const KEPT = 15;

/** What is cut out of as the content of zips: 8 MiB. */
const CONTENT = randomBytes(8 << 20);

/** Most zips are small, some are large. */
const BYTES = [500, 5_000, 20_000, 20_000, 100_000, 100_000, 500_000, 6_000_000];

/** How long a sync may take until its version is published, behind all jobs of the local queue, in milliseconds: 3 min. */
const SYNC_TIMEOUT = 3 * 60_000;

export async function uploads({ ask }, world, isOver, number) {
  const name = `soak/uploaded-${number}`;
  const token = await world.writer();
  const headers = { authorization: `Bearer ${token}` };
  const published = new Map();
  world.acknowledged.uploads.set(name, published);
  for (let count = 0; !isOver(); count += 1) {
    const version = `1.${number}.${count}`;
    // The largest at first, all at once, so that the warm-up has seen them.
    const length = count === 0 ? Math.max(...BYTES) : oneOf(BYTES);
    const from = Math.floor(Math.random() * (CONTENT.length - length));
    const zip = storedZip({ "composer.json": JSON.stringify({ name }), "content.bin": CONTENT.subarray(from, from + length) });
    const path = `/api/packages/${name}/versions/${version}`;
    const answer = await ask("upload", { method: "PUT", path, headers, body: zip, expected: [201] });
    if (answer?.status === 201) {
      published.set(version, sha1(zip));
      world.uploaded.add(`${name} ${version}`);
    }
    const read = await ask("p2 of uploads", { path: `/p2/${name}.json`, headers: asComposer({ token }) });
    if (answer?.status === 201 && read?.status === 200 && !expand(read.body, name).has(version)) {
      world.records.tell(`${name} ${version} was acknowledged and is not in the metadata`);
    }
    if (published.size > KEPT) {
      const [oldest] = published.keys();
      const at = `/api/packages/${encodeURIComponent(name)}/versions/${oldest}`;
      const deleted = await ask("deletion of a version", { method: "DELETE", path: at, headers });
      published.delete(oldest);
      if (deleted?.status === 200) world.deleted.add(`${name} ${oldest}`);
    }
    await pause(2000, 5000);
  }
}

export async function pushes({ ask }, world, isOver, number) {
  const name = `soak/pushed-${number}`;
  const repository = world.host.repository(name);
  const headers = { authorization: `Bearer ${await world.writer()}` };
  const tags = [];
  const push = (count) => {
    const tag = `1.${count}.0`;
    const content = { "composer.json": JSON.stringify({ name, description: tag }), "src/Code.php": `<?php // ${tag}\n` };
    repository.commits([{ tag, files: content }]);
    tags.push(tag);
    if (tags.length > KEPT) repository.removeRef(`refs/tags/${tags.shift()}`);
  };
  push(0);
  const id = await register(world.registry, world.host.urlOf(name));
  world.acknowledged.tags.set(name, tags);
  for (let count = 1; !isOver(); count += 1) {
    push(count);
    await ask("request of a sync", { method: "POST", path: `/api/repositories/${id}/sync`, headers });
    const isThere = await settles(ask, `/p2/${name}.json`, headers, (body) => expand(body, name).has(tags.at(-1)));
    if (!isThere) world.records.tell(`${name} ${tags.at(-1)} was pushed and is not published after ${SYNC_TIMEOUT} ms`);
    await ask("repository", { path: `/api/repositories/${id}`, headers });
    await ask("syncs", { path: `/api/repositories/${id}/syncs?limit=10`, headers });
    await ask("refs", { path: `/api/repositories/${id}/refs?limit=10`, headers });
    await pause(2000, 6000);
  }
}

/** Asks for the metadata until it is as `is` says; whether it was in time. */
async function settles(ask, path, headers, is) {
  for (const end = performance.now() + SYNC_TIMEOUT; performance.now() < end; await pause(500, 1000)) {
    const answer = await ask("p2 of pushes", { path, headers: { ...headers, "user-agent": "Composer/2.8.1" } });
    if (answer?.status === 200 && is(answer.body)) return true;
  }
  return false;
}
