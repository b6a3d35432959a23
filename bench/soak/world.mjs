// What a soak begins with: a registry in workerd with packages of every source, a git host, an upstream, a shop that takes events,
// and what the visitors note of what was acknowledged.

import http from "node:http";
import { startFileHost } from "../../tests/e2e/support/file-host.mjs";
import { startGitHost } from "../../tests/e2e/support/git-host.mjs";
import { storedZip } from "../../tests/e2e/support/zip.mjs";
import { issueToken, register, startRegistry } from "../registry.mjs";

/** Packages of git repositories, whose tags nobody changes. */
export const LIBRARIES = Array.from({ length: 6 }, (_, at) => `soak/library-${at}`);

/** Packages of an upstream Composer repository. */
export const MIRRORED = Array.from({ length: 3 }, (_, at) => `upstream/package-${at}`);

/** Versions of each library. */
const VERSIONS = 20;

/** How many tokens read: each of them limited otherwise. */
const READERS = 24;

export const pause = (least, most) => new Promise((resolve) => setTimeout(resolve, least + Math.random() * (most - least)));

export const oneOf = (list) => list[Math.floor(Math.random() * list.length)];

/** Starts everything. */
export async function createWorld() {
  const host = await startGitHost();
  const upstream = await startUpstream();
  const shop = await startShop();
  const registry = await startRegistry({ instrumented: true, inspected: true });
  for (const name of LIBRARIES) {
    host.repository(name).commits(Array.from({ length: VERSIONS }, (_, at) => release(name, `v0.${at}.0`)));
    await register(registry, host.urlOf(name));
  }
  await registry.admin("/api/repositories", { kind: "composer", url: upstream.url });
  const webhook = { url: `${shop.url}/events`, events: ["version.published"] };
  const readers = [];
  for (let at = 0; at < READERS; at += 1) readers.push(await issueToken(registry, READING[at % READING.length]));
  const manager = await issueToken(registry, { scopes: ["admin"] });
  const seller = await issueToken(registry, { scopes: ["packages:read", "storefront:*"] });
  const writer = () => issueToken(registry, { permissions: "write" });
  await registry.admin("/api/storefront/webhooks", webhook);
  return {
    registry,
    host,
    shop,
    readers,
    manager,
    seller,
    writer,
    acknowledged: createLedger(),
    /** Every upload that was acknowledged, deleted ones too: `name version`. */
    uploaded: new Set(),
    /** Every deletion of one that was acknowledged, in the same form. */
    deleted: new Set(),
    async stop() {
      await registry.stop();
      await Promise.all([host.stop(), upstream.stop(), shop.stop()]);
    },
  };
}

/** A commit with this tag. */
function release(name, tag) {
  const composerJson = { name, description: "A library of the soak", autoload: { "psr-4": { "Soak\\": "src/" } } };
  const files = {
    "composer.json": JSON.stringify(composerJson),
    "README.md": `# ${name}\n\nVersion ${tag}.\n`,
    "src/Version.php": `<?php\nnamespace Soak;\nfinal class Version { const NAME = '${tag}'; }\n`,
  };
  return { tag, files };
}

/** How the tokens that read are limited. */
const READING = [
  {},
  { allowed_package_prefixes: ["soak/"] },
  { grants: [{ pattern: "soak/*", constraint: "*" }, { package: MIRRORED[0] }] },
  { grants: [{ pattern: "*", minimum_stability: "stable" }] },
];

/** What was acknowledged and has to be there in the end. */
function createLedger() {
  return {
    /** Package → (version → SHA-1 of its zip), of uploads. */
    uploads: new Map(),
    /** Package → versions, of repositories that are pushed to. */
    tags: new Map(),
    /** Tokens: secret → whether it is to work. */
    tokens: new Map(),
    /** Consumers: id → `{ user, token, sees }`; `sees` is the library that it may install, or null when it is gone. */
    consumers: new Map(),
    /** Advisories: id → whether it is to be there. */
    advisories: new Map(),
  };
}

/** A Composer repository of some packages, with zips. */
async function startUpstream() {
  const files = await startFileHost();
  files.put("/packages.json", { packages: [], "metadata-url": "/p2/%package%.json", "available-packages": MIRRORED });
  for (const name of MIRRORED) {
    const url = files.put(`/zips/${name}.zip`, storedZip({ "composer.json": JSON.stringify({ name }) }));
    const version = { name, version: "1.0.0", time: "2026-01-01T00:00:00+00:00", dist: { type: "zip", url, reference: "1" } };
    files.put(`/p2/${name}.json`, { packages: { [name]: [version] } });
    files.put(`/p2/${name}~dev.json`, { packages: { [name]: [] } });
  }
  return files;
}

/** A shop that takes events and counts the versions that it is told. */
async function startShop() {
  const told = new Set();
  const server = http.createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      const { data } = JSON.parse(Buffer.concat(pieces));
      for (const { version } of data.versions ?? []) told.add(`${data.package} ${version}`);
      response.writeHead(204).end();
    });
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    told,
    stop() {
      server.closeAllConnections();
      return new Promise((closed) => server.close(closed));
    },
  };
}
