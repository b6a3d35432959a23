// Builds the Worker into build/ when its inputs have changed since the last time, and completes its static assets.

import { existsSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { copySwaggerUi } from "./assets.mjs";
import { isFresh, remember, rustInputs } from "./fresh.mjs";
import { ensurePackages } from "./npm.mjs";
import { build, root } from "./paths.mjs";
import { run } from "./run.mjs";
import { say, step } from "./say.mjs";
import { wasmEnvironment } from "./toolchain.mjs";

/** What the build depends on besides the Rust sources, which cargo lists itself. */
const OTHER_INPUTS = [
  "Cargo.toml", "Cargo.lock", ...readdirSync(join(root, "crates")).map((name) => `crates/${name}/Cargo.toml`),
  "package-lock.json", "scripts/lib/worker.mjs",
].map((name) => join(root, name));

const RECORD = join(build, ".inputs.json");
const WASM = join(build, "index_bg.wasm");
/** The same functions in the same order, with names: for stack traces and profiles (docs/operations.md). Not uploaded. */
const NAMED_WASM = join(build, "index_bg.named.wasm");
const PRODUCTS = [join(build, "index.js"), WASM, NAMED_WASM];

/** Makes build/index.js, build/index_bg.wasm, its twin with names, and what of public/ is not checked in. */
export async function buildWorker() {
  await ensurePackages();
  copySwaggerUi();
  if (PRODUCTS.every(existsSync) && isFresh(RECORD)) return say("The worker is built already");
  const { workerBuild, env } = await wasmEnvironment();
  await step("Building the worker", async () => {
    // worker-build writes beside the crate; cargo's progress is worth seeing only on a terminal.
    const target = join(root, "target");
    await run(workerBuild, ["--release"], { env: { ...env, CARGO_TARGET_DIR: target }, show: process.stdout.isTTY });
    // worker-build has optimised it and kept the names, which are an eighth of it and of no use to an isolate.
    renameSync(WASM, NAMED_WASM);
    await run(env.WASM_OPT_BIN, ["--strip-debug", NAMED_WASM, "-o", WASM]);
    const inputs = rustInputs(join(target, "wasm32-unknown-unknown/release/rostrum.d"));
    remember(RECORD, [...inputs, ...OTHER_INPUTS]);
  });
}
