// Rates of several kinds of request, measured side by side.
//
// The runs take turns, several times over, and the median counts: other work on the machine then disturbs all of them
// alike. A ratio compares two rows of one run, never a number with one of another day.
//
// A row is `{ key, title, port, requests, status, base, target }`. `base` is the key of the row that it is compared
// with, `target` the least ratio. Of a row with `once`, each request is sent only once. A row that `disturbs` is measured
// after all others, because it leaves work behind: five seconds later the count of each caller is written.

import { step } from "../scripts/lib/say.mjs";
import { startLoad } from "./load-client.mjs";
import { cpuSeconds, unmeasured } from "./process.mjs";
import { median, table } from "./report.mjs";

const CONNECTIONS = 8;
/** Each row is measured this often … */
const ROUNDS = Number(process.env.BENCH_ROUNDS || 7);
/** … for this long. */
const SECONDS = Number(process.env.BENCH_SECONDS || 1);

/** Measures `rows` and prints them, each beside the row `first`. Tells of those with a target whether they reach it. */
export async function compare(rows, first) {
  const load = startLoad();
  try {
    const measured = await step(`Measuring ${rows.length} kinds of request, ${ROUNDS} rounds`, async () => {
      const quiet = await runInRounds(load, rows.filter((row) => !row.disturbs));
      const loud = await runInRounds(load, rows.filter((row) => row.disturbs));
      return [...quiet, ...loud];
    });
    return report(measured, first);
  } finally {
    load.stop();
  }
}

/** Runs `rows` in turn, round by round; the rows with their medians. */
async function runInRounds(load, rows) {
  // A row may not start cold: isolates compile what is used often, and remember who has asked.
  for (const row of rows) {
    const isOne = row.once || row.requests.length === 1;
    await load.run({ ...job(row), ...(isOne ? { seconds: 0.5 } : { times: row.requests.length }) });
  }
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

/** The medians of a row's runs; a wrong answer spoils everything. */
function summary({ title, status }, runs) {
  const wrong = runs.flatMap((run) => Object.keys(run.statuses)).find((seen) => Number(seen) !== status);
  if (wrong) throw new Error(`${title}: answered ${wrong} instead of ${status}`);
  const of = (value) => median(runs.map(value));
  const rates = runs.map((run) => run.count / run.seconds);
  return { rates, cpu: of((run) => run.cpu), p50: of((run) => run.p50), p99: of((run) => run.p99) };
}

function report(rows, first) {
  const found = (key) => rows.find((row) => row.key === key);
  // Round by round, so that both sides of a ratio had the same neighbours.
  const ratio = (row, base) => median(row.rates.map((rate, round) => rate / found(base).rates[round]));
  const lines = rows.map((row) => [
    row.title,
    median(row.rates).toFixed(0),
    ratio(row, first).toFixed(2),
    unmeasured ? "–" : `${(row.cpu * 1e6).toFixed(0)} µs`,
    `${row.p50.toFixed(1)} ms`,
    `${row.p99.toFixed(1)} ms`,
  ]);
  table([`${CONNECTIONS} connections`, "requests/s", "of " + found(first).title, "CPU", "median", "99 %"], lines);
  return rows
    .filter((row) => row.target !== undefined)
    .map((row) => {
      const reached = ratio(row, row.base);
      const text = `${row.title}: ${reached.toFixed(2)} of “${found(row.base).title}”, wanted ${row.target}`;
      return { ok: reached >= row.target, text };
    });
}
