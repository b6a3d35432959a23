// `npm run bench`: measures the registry in workerd on this machine and compares it with what was promised.
//
// `npm run bench -- throughput storefront shop sync artifact archives size` runs only the named parts; `--check` makes the exit code
// tell whether everything was reached. Numbers of different runs or machines are not to be compared: ratios are.
// BENCH_ROUNDS (7) and BENCH_SECONDS (1) say how often and how long each kind of request is measured.

import { ensurePackages } from "./lib/npm.mjs";
import { Stop, main, say } from "./lib/say.mjs";
import { buildWorker } from "./lib/worker.mjs";

const PARTS = ["throughput", "storefront", "shop", "sync", "artifact", "archives", "size"];

await main(async () => {
  const args = process.argv.slice(2);
  const chosen = args.filter((arg) => arg !== "--check");
  const unknown = chosen.find((name) => !PARTS.includes(name));
  if (unknown !== undefined) throw new Stop(`"${unknown}" is no part of the benchmark: ${PARTS.join(", ")} are.`);
  await ensurePackages();
  await buildWorker();
  const verdicts = [];
  for (const name of PARTS.filter((part) => chosen.length === 0 || chosen.includes(part))) {
    // Imported late: what they import may have been installed a moment ago.
    const part = await import(`../bench/${name}.mjs`);
    verdicts.push(...(await part[name]()));
  }
  console.log();
  for (const { ok, text } of verdicts) console.log(`${ok ? "ok    " : "MISSED"}  ${text}`);
  const missed = verdicts.filter((verdict) => !verdict.ok).length;
  if (missed > 0) say(`${missed} of ${verdicts.length} were missed`);
  process.exit(missed > 0 && args.includes("--check") ? 1 : 0);
});
