// `npm test`: the Rust tests, then the end-to-end tests against the built Worker, then two minutes of a soak.
//
// `npm test -- rust [FILTER]`, `npm test -- e2e [FILTER]` and `npm test -- soak [MINUTES]` run one part; FILTER is a part of a
// Rust test's name, or of an end-to-end test's file name or title.
//
// Without a FILTER the files that show what composer makes of it all run once with each composer that people use; the
// summary says with which. COMPOSER_BIN=/path/to/composer chooses one for everything.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "./lib/paths.mjs";
import { composers } from "./lib/composers.mjs";
import { ensurePackages } from "./lib/npm.mjs";
import { browser, requirePrograms } from "./lib/programs.mjs";
import { openapiGenerator, schemathesis } from "./lib/python.mjs";
import { attempt } from "./lib/run.mjs";
import { Stop, main, say } from "./lib/say.mjs";
import { requireRust } from "./lib/toolchain.mjs";
import { buildWorker } from "./lib/worker.mjs";

/** The end-to-end tests with one composer never take longer, whatever hangs: 30 min. */
const END_TO_END_LIMIT = 30 * 60_000;

/** How long each fuzz target runs (tests/fuzz), when all tests do: eleven of them on two processors take a minute. */
const FUZZ_SECONDS = "10";

/** The files that run once with each composer: install, audit and filter lists, cooldown, customers. */
const EVERY_COMPOSER = ["advisories", "cooldown", "install", "mirror-audit", "pinning", "shop"].map((name) => `${name}.test.mjs`);

const FOLDER = join(root, "tests/e2e");

/** What a soak may take besides its minutes: 15 min. */
const SOAK_LIMIT = 15 * 60_000;

const PARTS = { rust: testRust, e2e: testEndToEnd, soak: testSoak };

await main(async () => {
  const [part, filter] = process.argv.slice(2);
  if (part !== undefined && !(part in PARTS)) {
    throw new Stop(`"${part}" is no part of the tests: ${Object.keys(PARTS).join(", ")} are.`);
  }
  const chosen = part === undefined ? Object.keys(PARTS) : [part];
  // First, so that the Rust tests find PHP and compare with Composer's own code.
  if (chosen.includes("e2e")) {
    await ensurePackages();
    await requirePrograms();
    await browser();
    await schemathesis();
    await openapiGenerator();
  }
  const outcomes = [];
  for (const name of chosen) outcomes.push(...(await PARTS[name](filter)));
  console.log();
  for (const { name, passed, failed } of outcomes) say(`${name}: ${passed} passed, ${failed} failed`);
  const sum = (key) => outcomes.reduce((total, outcome) => total + outcome[key], 0);
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
  if (outcomes.some((outcome) => outcome.code !== 0)) process.exitCode = 1;
  else if (sum("passed") === 0) throw new Stop("No test ran.");
});

async function testRust(filter) {
  await requireRust();
  say("Running the Rust tests …");
  const env = filter === undefined ? { FUZZ_SECONDS, ...process.env } : process.env;
  const { code, output } = await watched("cargo", ["test", "--workspace", ...(filter === undefined ? [] : [filter])], { env });
  const lines = [...output.matchAll(/^test result: .* (\d+) passed; (\d+) failed;/gm)];
  const sum = (group) => lines.reduce((total, line) => total + Number(line[group]), 0);
  return [{ name: "rust", code, passed: sum(1), failed: sum(2) }];
}

async function testEndToEnd(filter) {
  await buildWorker();
  const all = readdirSync(FOLDER).filter((name) => name.endsWith(".test.mjs")).sort();
  const named = filter === undefined ? all : all.filter((name) => name.includes(filter));
  const titles = named.length > 0 || filter === undefined ? [] : [`--test-name-pattern=${filter}`];
  const { found, missing } = filter === undefined ? await composers() : { found: [], missing: [] };
  const [first, ...others] = found;
  const outcomes = [await endToEnd(named.length > 0 ? named : all, titles, first)];
  const files = all.filter((name) => EVERY_COMPOSER.includes(name));
  for (const composer of others) outcomes.push(await endToEnd(files, [], composer));
  for (const { name, reason } of missing) say(`e2e: the composer of Debian ${name} could not be had, nothing ran with it: ${reason}`);
  return outcomes;
}

/** Runs these files, with this composer if one is given. */
async function endToEnd(files, options, composer) {
  const name = composer === undefined ? "e2e" : `e2e with composer ${composer.version} (${composer.name})`;
  say(`Running the end-to-end tests: ${name} …`);
  const env = composer === undefined ? process.env : { ...process.env, COMPOSER_BIN: composer.program };
  const args = ["--test", ...options, ...files.map((file) => join(FOLDER, file))];
  const { code, output } = await watched(process.execPath, args, { env, timeout: END_TO_END_LIMIT });
  const count = (word) => Number(new RegExp(`^(?:#|ℹ) ${word} (\\d+)$`, "m").exec(output)?.[1] ?? 0);
  return { name, code, passed: count("pass"), failed: count("fail") + count("cancelled") };
}

async function testSoak(minutes = "2") {
  await buildWorker();
  say(`Soaking for ${minutes} min …`);
  const timeout = Number(minutes) * 60_000 + SOAK_LIMIT;
  const { code, output } = await watched(process.execPath, [join(root, "scripts/soak.mjs"), minutes], { timeout });
  const [, passed, failed] = /^» soak: (\d+) passed, (\d+) failed$/m.exec(output) ?? [null, 0, 1];
  return [{ name: "soak", code, passed: Number(passed), failed: Number(failed) }];
}

/** Runs a program whose output is shown as it comes, and kept. */
async function watched(program, args, options = {}) {
  const pieces = [];
  const keep = (piece) => {
    pieces.push(piece);
    process.stdout.write(piece);
  };
  const { code } = await attempt(program, args, { ...options, onOutput: keep });
  return { code, output: pieces.join("") };
}
