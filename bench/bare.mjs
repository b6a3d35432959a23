// Builds the bare Rust worker, in target/bench: nothing is written beside its sources.

import { cpSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isFresh, remember } from "../scripts/lib/fresh.mjs";
import { root } from "../scripts/lib/paths.mjs";
import { run } from "../scripts/lib/run.mjs";
import { say, step } from "../scripts/lib/say.mjs";
import { wasmEnvironment } from "../scripts/lib/toolchain.mjs";

const SOURCE = join(root, "bench/bare");
const COPY = join(root, "target/bench/bare");
const RECORD = join(COPY, ".inputs.json");
const INPUTS = [join(SOURCE, "Cargo.toml"), join(SOURCE, "src/lib.rs"), join(root, "Cargo.lock")];
const PRODUCTS = ["index.js", "index_bg.wasm"].map((name) => join(COPY, "build", name));

/** Makes the bare worker if need be; its Miniflare modules. */
export async function buildBare() {
  if (PRODUCTS.every(existsSync) && isFresh(RECORD)) say("The bare worker is built already");
  else await step("Building the bare worker", build);
  const [script, wasm] = PRODUCTS;
  return {
    modulesRoot: join(COPY, "build"),
    modules: [
      { type: "ESModule", path: script, contents: readFileSync(script, "utf8") },
      { type: "CompiledWasm", path: wasm, contents: readFileSync(wasm) },
    ],
  };
}

async function build() {
  const { workerBuild, env } = await wasmEnvironment();
  mkdirSync(COPY, { recursive: true });
  cpSync(SOURCE, COPY, { recursive: true });
  // cargo drops from it what the bare worker does not need, and keeps the versions of the rest.
  cpSync(join(root, "Cargo.lock"), join(COPY, "Cargo.lock"));
  await run(workerBuild, ["--release"], {
    cwd: COPY,
    env: { ...env, CARGO_TARGET_DIR: join(root, "target") },
    show: process.stdout.isTTY,
  });
  remember(RECORD, INPUTS);
}
