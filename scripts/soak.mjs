// `npm run soak -- MINUTES`: mixed traffic against the registry in workerd for so many minutes (2), over 64 connections: programs
// that ask as composer does, composer itself, uploads, syncs, both APIs and bad credentials. It fails when a request is answered 5xx
// or takes more than 10 s, when the memory grows after the warm-up, or when something that was acknowledged is not there in the end.

import { ensurePackages } from "./lib/npm.mjs";
import { requirePrograms } from "./lib/programs.mjs";
import { Stop, main, say } from "./lib/say.mjs";
import { buildWorker } from "./lib/worker.mjs";

/** What set-up and the look at the end may take besides, whatever hangs: 12 min. */
const BESIDES = 12 * 60_000;

await main(async () => {
  const minutes = Number(process.argv[2] ?? 2);
  if (!(minutes >= 1 && minutes <= 24 * 60)) throw new Stop(`"${process.argv[2]}" is no number of minutes from 1 to 1440.`);
  await ensurePackages();
  await requirePrograms();
  await buildWorker();
  setTimeout(() => {
    console.error("✗ The soak did not end by itself.");
    process.exit(1);
  }, minutes * 60_000 + BESIDES).unref();
  // Imported late: what it imports may have been installed a moment ago.
  const { soak } = await import("../bench/soak/soak.mjs");
  const verdicts = await soak(minutes);
  for (const { ok, text } of verdicts) console.log(`${ok ? "ok    " : "FAILED"}  ${text}`);
  const failed = verdicts.filter((verdict) => !verdict.ok).length;
  say(`soak: ${verdicts.length - failed} passed, ${failed} failed`);
  process.exit(failed > 0 ? 1 : 0);
});
