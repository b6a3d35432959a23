// Requests a second of what composer asks most, beside what the runtime and a bare Rust worker reach.
//
// The runs take turns, several times over, and the median counts: other work on the machine then disturbs all of them
// alike. A ratio compares two rows of one run, never a number with one of another day.

import { readFileSync } from "node:fs";
import { startGitHost } from "../tests/e2e/support/git-host.mjs";
import { step } from "../scripts/lib/say.mjs";
import { buildBare } from "./bare.mjs";
import { get, startLoad } from "./load-client.mjs";
import { cpuSeconds, unmeasured } from "./process.mjs";
import { DIRECT, insertTokens, issueToken, register, script, startRegistry } from "./registry.mjs";
import { incompressible, manyVersions } from "./repositories.mjs";
import { median, table } from "./report.mjs";

const CONNECTIONS = 8;
/** Each row is measured this often … */
const ROUNDS = Number(process.env.BENCH_ROUNDS || 7);
/** … for this long. */
const SECONDS = Number(process.env.BENCH_SECONDS || 1);

/** The least part of a bare Rust worker's rate that a warm p2 document may come at. */
const TARGET = 0.75;
/** The least part of the unfiltered rate that a filtered document may come at. */
const FILTERED_TARGET = 0.7;

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
  const load = startLoad();
  const registry = await startRegistry({ beside: workers });
  try {
    await step("Syncing them and building their archives", async () => {
      for (const name of [SMALL.name, LARGE.name, ARCHIVE]) await register(registry, host.urlOf(name));
    });
    const rows = await scenarios(registry);
    const measured = await step(`Measuring ${rows.length} kinds of request, ${ROUNDS} rounds`, async () => {
      const quiet = await takeTurns(load, rows.filter((row) => !row.disturbs));
      const loud = await takeTurns(load, rows.filter((row) => row.disturbs));
      return [...quiet, ...loud];
    });
    return report(measured);
  } finally {
    load.stop();
    await registry.stop();
  }
}

/** Runs `rows` in turn, round by round; the rows with their medians. */
async function takeTurns(load, rows) {
  // A row may not start cold: isolates compile what is used often.
  for (const row of rows) await load.run({ ...job(row), seconds: 0.5 });
  const runs = rows.map(() => []);
  for (let round = 0; round < ROUNDS; round += 1) {
    // There and back, so that no row always follows the same one.
    const order = [...rows.entries()];
    for (const [at, row] of round % 2 === 0 ? order : order.reverse()) {
      const before = cpuSeconds();
      const run = await load.run({ ...job(row), seconds: SECONDS });
      runs[at].push({ ...run, cpu: (cpuSeconds() - before) / run.count });
    }
  }
  return rows.map((row, at) => ({ ...row, ...summary(row, runs[at]) }));
}

function job({ key, port, requests }) {
  return { name: key, port, requests, connections: CONNECTIONS };
}

/**
 * What is measured: `{ key, title, port, requests, status, base, target }`. `base` is the key of the row that this one
 * is compared with, `target` the least ratio. A row that `disturbs` is measured after all others, because it leaves
 * work behind: five seconds later each new token's count is written.
 */
async function scenarios(registry) {
  const token = await issueToken(registry);
  const prefixed = await issueToken(registry, { allowed_package_prefixes: ["bench/"] });
  const [granted] = await insertTokens(registry, 1, [{ target: LARGE.name, version_constraint: "5.*" }]);
  const cold = await insertTokens(registry, COLD_TOKENS, [{ target: "*" }]);
  const path = ({ name }) => `/p2/${name}.json`;
  const small = await look(registry, path(SMALL), token);
  const large = await look(registry, path(LARGE), token);
  const filtered = await look(registry, path(LARGE), granted);
  const root = await look(registry, "/packages.json", token);
  const archive = await look(registry, `/p2/${ARCHIVE}.json`, token);
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
    {
      key: "p2-filtered",
      title: `p2, ${LARGE.versions} versions, one grant of 5.*, ${bytes(filtered.text)}`,
      requests: [get(path(LARGE), { token: granted })],
      base: "p2-large",
      target: FILTERED_TARGET,
    },
    { key: "dist", title: "dist, 1 MB", requests: [get(new URL(dist.url).pathname, { token })] },
    {
      key: "cold",
      title: "p2, token never seen before",
      requests: cold.map((each) => get(path(SMALL), { token: each })),
      disturbs: true,
    },
  ];
  return rows.map((row) => ({ port, status: 200, base: "bare", ...row }));
}

/** One answer as composer gets it. */
async function look(registry, path, token) {
  const answer = await fetch(registry.url + path, {
    headers: { authorization: `Bearer ${token}`, "user-agent": "Composer/2.8.1", host: "registry.test" },
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${text}`);
  return { text, date: answer.headers.get("last-modified") };
}

/** The medians of a row's runs; a wrong answer spoils everything. */
function summary({ title, status }, runs) {
  const wrong = runs.flatMap((run) => Object.keys(run.statuses)).find((seen) => Number(seen) !== status);
  if (wrong) throw new Error(`${title}: answered ${wrong} instead of ${status}`);
  const of = (value) => median(runs.map(value));
  const rates = runs.map((run) => run.count / run.seconds);
  return { rates, cpu: of((run) => run.cpu), p50: of((run) => run.p50), p99: of((run) => run.p99) };
}

function report(rows) {
  const found = (key) => rows.find((row) => row.key === key);
  // Round by round, so that both sides of a ratio had the same neighbours.
  const ratio = (row, base) => median(row.rates.map((rate, round) => rate / found(base).rates[round]));
  const lines = rows.map((row) => [
    row.title,
    median(row.rates).toFixed(0),
    ratio(row, "bare").toFixed(2),
    unmeasured ? "–" : `${(row.cpu * 1e6).toFixed(0)} µs`,
    `${row.p50.toFixed(1)} ms`,
    `${row.p99.toFixed(1)} ms`,
  ]);
  table([`${CONNECTIONS} connections`, "requests/s", "of bare Rust", "CPU", "median", "99 %"], lines);
  return rows
    .filter((row) => row.target !== undefined)
    .map((row) => {
      const reached = ratio(row, row.base);
      const text = `${row.title}: ${reached.toFixed(2)} of “${found(row.base).title}”, wanted ${row.target}`;
      return { ok: reached >= row.target, text };
    });
}
