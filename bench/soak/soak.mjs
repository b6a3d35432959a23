// A soak: mixed traffic over 64 connections for some minutes, after which nothing may have failed, grown, stuck or got lost.

import { say, step } from "../../scripts/lib/say.mjs";
import { residentMegabytes, unmeasured } from "../process.mjs";
import { table } from "../report.mjs";
import { findLost } from "./check.mjs";
import { connect } from "./connection.mjs";
import { management, storefront } from "./operators.mjs";
import { badCredentials, composerLike, composerRuns } from "./readers.mjs";
import { createRecords } from "./records.mjs";
import { pushes, uploads } from "./writers.mjs";
import { createWorld, pause } from "./world.mjs";

/** Who comes, and on how many connections: 64 in all. */
const VISITORS = [
  { visit: composerLike, connections: 40 },
  { visit: badCredentials, connections: 6 },
  { visit: uploads, connections: 4 },
  { visit: pushes, connections: 4 },
  { visit: management, connections: 4 },
  { visit: storefront, connections: 4 },
  { visit: composerRuns, connections: 2 },
];

/** The part of the time in which caches fill, and memory may grow. */
const WARM_UP = 0.4;

/** How often the memory is looked at, in milliseconds. */
const LOOK = 5_000;

/** How often the cron trigger fires, as in production. */
const CRON = 60_000;

/**
 * What the isolate may hold, in MB, the wasm memory and JavaScript's after a garbage collection: 128, less what is not collected yet.
 */
const LIMIT = 96;

/**
 * What it may hold more of after the warm-up. The wasm memory never shrinks and grows when more large uploads and syncs coincide than
 * before; a leak of 4 kB a request is more after two minutes, one of 400 bytes after twenty.
 */
const GROWTH = 24;

/** Soaks for some minutes: `{ ok, text }` of each thing that is promised. */
export async function soak(minutes) {
  const records = createRecords();
  const composers = createRecords();
  const world = await step("Starting a registry, its sources and its shop", createWorld);
  Object.assign(world, { records, composers });
  try {
    const port = await world.registry.portOf();
    const memory = watch(world.registry, minutes);
    await step(`Soaking for ${minutes} min`, () => traffic(world, port, minutes * 60_000));
    const { before, after } = await memory.stop();
    const checker = connect(port, "192.0.2.1", records);
    const lost = await step("Looking whether everything is there", () => findLost(checker, world));
    checker.close();
    return report({ records, composers, before, after, lost });
  } finally {
    await world.stop();
  }
}

/** Has all visitors come and go on until the time is over. */
async function traffic(world, port, milliseconds) {
  const end = performance.now() + milliseconds;
  const isOver = () => performance.now() >= end;
  const cron = setInterval(() => world.registry.runCron().catch((error) => world.records.tell(`cron: ${error.message}`)), CRON);
  try {
    const visitors = VISITORS.flatMap(({ visit, connections }) => Array(connections).fill(visit));
    await Promise.all(
      visitors.map(async (visit, number) => {
        const connection = connect(port, `198.51.100.${number + 1}`, world.records);
        await pause(0, 2000);
        await visit(connection, world, isOver, number).finally(connection.close);
      }),
    );
  } finally {
    clearInterval(cron);
  }
}

/**
 * Looks at the memory all the time: `{ before, after }`, what was most in the warm-up and in the time after it, `{ wasm, heap, both,
 * workerd }` in MB.
 */
function watch(registry, minutes) {
  const begun = performance.now();
  const most = { before: {}, after: {} };
  let running = true;
  const watching = (async () => {
    while (running) {
      const part = performance.now() - begun > minutes * 60_000 * WARM_UP ? most.after : most.before;
      const [wasm, heap] = [await registry.wasmMegabytes(), await registry.heapMegabytes()];
      const found = { wasm, heap, both: wasm + heap, workerd: unmeasured ? NaN : residentMegabytes() };
      for (const [what, value] of Object.entries(found)) part[what] = Math.max(part[what] ?? 0, value);
      await pause(LOOK, LOOK);
    }
    return most;
  })();
  watching.catch(() => {});
  return { stop: () => ((running = false), watching) };
}

function report({ records, composers, before, after, lost }) {
  table(["request", "number", "answers", "slowest"], [...records.rows(), ...composers.rows()]);
  const megabytes = (value) => `${value.toFixed(0)} MB`;
  const row = (title, key) => [title, megabytes(before[key]), megabytes(after[key])];
  // Most of workerd is the local database and bucket, and garbage that nobody has collected: that is shown, and held to nothing.
  const all = unmeasured ? [] : [row("workerd, with the database and the bucket", "workerd")];
  if (unmeasured) say(`The memory of workerd is not shown: ${unmeasured}`);
  const rows = [row("wasm", "wasm"), row("JavaScript, collected", "heap"), row("the isolate: both", "both"), ...all];
  table(["most memory", "in the warm-up", "after it"], rows);
  const grown = after.both - before.both;
  return [
    ...records.verdicts(),
    records.rightness("requests"),
    composers.rightness("runs of composer"),
    { ok: after.both <= LIMIT, text: `the isolate held ${megabytes(after.both)}, wanted at most ${megabytes(LIMIT)}` },
    { ok: grown <= GROWTH, text: `the isolate grew by ${megabytes(grown)} after the warm-up, wanted at most ${megabytes(GROWTH)}` },
    { ok: lost.length === 0, text: [`${lost.length} things were lost, wanted none`, ...lost.slice(0, 10)].join("\n          ") },
  ];
}
