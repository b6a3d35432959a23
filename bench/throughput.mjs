// Requests a second of what composer asks most, beside what the runtime and a bare Rust worker reach.

import { readFileSync } from "node:fs";
import { startGitHost } from "../tests/e2e/support/git-host.mjs";
import { step } from "../scripts/lib/say.mjs";
import { buildBare } from "./bare.mjs";
import { get } from "./load-client.mjs";
import { compare } from "./rates.mjs";
import { DIRECT, composerGet, insertTokens, issueToken, register, script, startRegistry } from "./registry.mjs";
import { incompressible, manyVersions } from "./repositories.mjs";

/** The least part of a bare Rust worker's rate that a warm p2 document may come at. */
const TARGET = 0.75;

/** The bare worker several times over, because each knows one answer. */
const BARE = ["bare-small", "bare-large", "bare-headers"];

/** 43 versions make a document of about 20 kB. */
const SMALL = { name: "bench/small", versions: 43 };
const LARGE = { name: "bench/large", versions: 500 };
const ARCHIVE = "bench/archive";
/** Enough tokens for every request of the row that uses each only once. */
const COLD_TOKENS = 10_000;

export async function throughput() {
  const bare = await buildBare();
  const host = await startGitHost();
  try {
    await step(`Preparing packages of ${SMALL.versions} and ${LARGE.versions} versions`, async () => {
      for (const { name, versions } of [SMALL, LARGE]) manyVersions(host, name, versions);
      incompressible(host, ARCHIVE, 1);
    });
    return await measure(host, bare);
  } finally {
    await host.stop();
  }
}

async function measure(host, bare) {
  const workers = [
    script("noop", readFileSync(new URL("noop.js", import.meta.url), "utf8")),
    ...BARE.map((name) => ({ name, compatibilityDate: "2026-04-01", ...bare, ...DIRECT })),
  ];
  const registry = await startRegistry({ beside: workers });
  try {
    await step("Syncing them and building their archives", async () => {
      for (const name of [SMALL.name, LARGE.name, ARCHIVE]) await register(registry, host.urlOf(name));
    });
    return await compare(await scenarios(registry), "bare");
  } finally {
    await registry.stop();
  }
}

/** What is measured. */
async function scenarios(registry) {
  const token = await issueToken(registry);
  const prefixed = await issueToken(registry, { allowed_package_prefixes: ["bench/"] });
  const cold = await insertTokens(registry, COLD_TOKENS);
  const path = ({ name }) => `/p2/${name}.json`;
  const small = await composerGet(registry, path(SMALL), { token });
  const large = await composerGet(registry, path(LARGE), { token });
  const root = await composerGet(registry, "/packages.json", { token });
  const archive = await composerGet(registry, `/p2/${ARCHIVE}.json`, { token });
  const [{ dist }] = JSON.parse(archive.text).packages[ARCHIVE];
  const bytes = (text) => `${(text.length / 1000).toFixed(1)} kB`;
  const port = await registry.portOf();
  const bare = async (name, title, path) => ({
    title,
    port: await registry.portOf(name),
    requests: [get(path, { token })],
  });
  const { length } = small.text;
  const rows = [
    { key: "noop", ...(await bare("noop", "JavaScript, no-op", "/")) },
    { key: "bare", ...(await bare("bare-small", `bare Rust, ${bytes(small.text)}`, `/${length}`)) },
    {
      key: "bare-headers",
      ...(await bare("bare-headers", "the same with the headers of a p2 document", `/${length}/headers`)),
    },
    { key: "bare-large", ...(await bare("bare-large", `bare Rust, ${bytes(large.text)}`, `/${large.text.length}`)) },
    { key: "health", title: "/health", requests: [get("/health")] },
    { key: "root", title: `packages.json, ${bytes(root.text)}`, requests: [get("/packages.json", { token })] },
    {
      key: "p2",
      title: `p2, ${SMALL.versions} versions, ${bytes(small.text)}`,
      requests: [get(path(SMALL), { token })],
      target: TARGET,
    },
    {
      key: "p2-large",
      title: `p2, ${LARGE.versions} versions, ${bytes(large.text)}`,
      requests: [get(path(LARGE), { token })],
      base: "bare-large",
      target: TARGET,
    },
    {
      key: "p2-304",
      title: "p2, not modified",
      requests: [get(path(SMALL), { token, headers: { "If-Modified-Since": small.date } })],
      status: 304,
    },
    { key: "p2-prefix", title: "p2, token limited to a prefix", requests: [get(path(SMALL), { token: prefixed })] },
    { key: "dist", title: "dist, 1 MB", requests: [get(new URL(dist.url).pathname, { token })] },
    {
      key: "cold",
      title: "p2, token never seen before",
      requests: cold.map((each) => get(path(SMALL), { token: each })),
      once: true,
      disturbs: true,
    },
  ];
  return rows.map((row) => ({ port, status: 200, base: "bare", ...row }));
}
