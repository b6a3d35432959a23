// A large download: the bytes have to pass by the isolate, not through it.

import { createHash, randomBytes } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { say, step } from "../scripts/lib/say.mjs";
import { get, startLoad } from "./load-client.mjs";
import { unmeasured, watchMemory } from "./process.mjs";
import { issueToken, script, startRegistry, temporaryFolder } from "./registry.mjs";
import { table } from "./report.mjs";

const NAME = "bench/huge";
const BYTES = 200_000_000;
/** R2 takes parts of 5 MiB and more. */
const PART = 10_000_000;
const TOGETHER = 8;

/** "Flat", in MB: some requests' worth of small things. */
const FLAT = 2;
/**
 * What workerd as a whole may need beyond streaming by itself, in MB. Most of what it needs is the local bucket's,
 * which reads ahead of a slow reader; and that varies.
 */
const SLACK = 64;

export async function artifact() {
  const state = temporaryFolder();
  try {
    const sha256 = await step("Storing an artifact of 200 MB", () => store(state));
    return await measure(state, sha256);
  } finally {
    rmSync(state, { recursive: true, force: true });
  }
}

/** Puts the object and its rows where a registry with this state finds them, in a workerd that is not measured. */
async function store(state) {
  const registry = await startRegistry({ state });
  try {
    const sha256 = await upload(await registry.bucket());
    await insertRows(registry.database, sha256);
    return sha256;
  } finally {
    await registry.stop();
  }
}

function blobKey(sha256) {
  return `dist/${sha256.slice(0, 2)}/${sha256}.zip`;
}

async function upload(bucket) {
  // The key has to be known before the content is sent, so the content is one random part, repeated.
  const part = new Uint8Array(randomBytes(PART));
  const hash = createHash("sha256");
  for (let sent = 0; sent < BYTES; sent += PART) hash.update(part);
  const sha256 = hash.digest("hex");
  const upload = await bucket.createMultipartUpload(blobKey(sha256));
  const parts = [];
  for (let number = 1; number <= BYTES / PART; number += 1) parts.push(await upload.uploadPart(number, part));
  await upload.complete(parts);
  return sha256;
}

async function insertRows(database, sha256) {
  const reference = "a".repeat(40);
  const statements = [
    `INSERT INTO repositories (id, uid, organization_id, kind, provider, url, created_at)
     VALUES (1, 'bench', 1, 'artifact', 'git', 'https://bench.invalid/huge', 0)`,
    `INSERT INTO packages (id, uid, organization_id, repository_id, name, type, revision, created_at, updated_at)
     VALUES (1, 'bench', 1, 1, '${NAME}', 'library', 1, 0, 0)`,
    `INSERT INTO versions (id, uid, package_id, normalized, pretty, ref_name, reference, manifest, released_at,
       created_at, updated_at)
     VALUES (1, 'bench', 1, '1.0.0.0', '1.0.0', 'refs/tags/1.0.0', '${reference}', '{}', 0, 0, 0)`,
    `INSERT INTO artifacts (sha256, sha1, size, created_at) VALUES ('${sha256}', '${"b".repeat(40)}', ${BYTES}, 0)`,
    `INSERT INTO dists (version_id, reference, artifact_sha256, created_at) VALUES (1, '${reference}', '${sha256}', 0)`,
  ];
  await database.batch(statements.map((sql) => database.prepare(sql)));
}

async function measure(state, sha256) {
  const sources = [
    { title: "the runtime's own stream", worker: "stream", request: () => get(`/${blobKey(sha256)}`) },
    { title: "the registry", worker: "registry", request: (token) => get(`/dist/${NAME}/1.0.0.zip`, { token }) },
  ];
  return step("Downloading it", async () => {
    const runs = [];
    for (const connections of [1, TOGETHER]) {
      for (const source of sources) runs.push(await download(state, source, connections));
    }
    return report(runs);
  });
}

/** Downloads the object over so many connections at once, from a workerd that has done nothing before. */
async function download(state, { title, worker, request }, connections) {
  const stream = script("stream", readFileSync(new URL("stream.js", import.meta.url), "utf8"), {
    r2Buckets: { ARTIFACTS: { id: "rostrum-artifacts" } },
  });
  const load = startLoad();
  const registry = await startRegistry({ state, instrumented: true, beside: [stream] });
  try {
    const token = await issueToken(registry);
    const requests = [request(token)];
    const job = { name: title, port: await registry.portOf(worker), requests, connections, times: connections };
    const wasm = await registry.wasmMegabytes();
    const { result, ...memory } = await watchMemory(() => load.run(job));
    if (result.statuses[200] !== connections || result.bytes < connections * BYTES) {
      throw new Error(`${title}: ${JSON.stringify(result.statuses)}, ${result.bytes} bytes`);
    }
    const grown = (await registry.wasmMegabytes()) - wasm;
    return { title: `${title}, ${connections} ×`, rate: result.bytes / result.seconds / 1e6, grown, ...memory };
  } finally {
    load.stop();
    await registry.stop();
  }
}

function report(runs) {
  const megabytes = (value) => (value === undefined ? "–" : `${value.toFixed(0)} MB`);
  if (unmeasured) say(`The memory is not shown: ${unmeasured}`);
  table(
    ["200 MB artifact", "MB/s", "wasm memory grows by", "workerd before", "peak", "after"],
    runs.map((run) => [run.title, run.rate.toFixed(0), ...[run.grown, run.before, run.peak, run.after].map(megabytes)]),
  );
  return [1, 3].flatMap((at) => {
    const [stream, ours] = [runs[at - 1], runs[at]];
    const title = `200 MB artifact, ${ours.title}`;
    const wasm = {
      ok: ours.grown <= FLAT,
      text: `${title}: wasm memory grows by ${megabytes(ours.grown)}, wanted at most ${megabytes(FLAT)}`,
    };
    if (unmeasured) return [wasm];
    const more = ours.peak - ours.before - (stream.peak - stream.before);
    const text = `${title}: workerd needs ${megabytes(more)} more than to stream, wanted at most ${megabytes(SLACK)}`;
    return [wasm, { ok: more <= SLACK, text }];
  });
}
