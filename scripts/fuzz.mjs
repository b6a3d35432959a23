// `npm run fuzz -- MINUTES [TARGET]`: runs the fuzz targets (tests/fuzz) for that long each, with inputs that no run before had,
// as many at a time as there are processors. What they find is kept in tests/fuzz/corpus.

import { attempt } from "./lib/run.mjs";
import { Stop, main, say } from "./lib/say.mjs";
import { requireRust } from "./lib/toolchain.mjs";

await main(async () => {
  const [minutes, target] = process.argv.slice(2);
  if (!(Number(minutes) > 0)) throw new Stop("Say for how many minutes: `npm run fuzz -- MINUTES [TARGET]`.");
  await requireRust();
  const seconds = String(Math.ceil(Number(minutes) * 60));
  const seed = String(Date.now());
  say(`Fuzzing each target for ${minutes} min, with FUZZ_SEED=${seed} …`);
  const args = ["test", "--test", "fuzz", ...(target === undefined ? [] : [target]), "--", "--nocapture"];
  const env = { ...process.env, FUZZ_SECONDS: seconds, FUZZ_SEED: seed };
  const { code } = await attempt("cargo", args, { env, show: true });
  if (code !== 0) throw new Stop("Something fell out: the inputs `found-…` in tests/fuzz/corpus are to become tests that pass.");
});
