// Builds the Worker into build/ when its inputs have changed since the last time, and completes its static assets.

import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { copySwaggerUi } from "./assets.mjs";
import { isFresh, remember, rustInputs } from "./fresh.mjs";
import { ensurePackages } from "./npm.mjs";
import { named } from "./order.mjs";
import { build, root } from "./paths.mjs";
import { run } from "./run.mjs";
import { say, step } from "./say.mjs";
import { wasmEnvironment } from "./toolchain.mjs";

/** What the build depends on besides the Rust sources, which cargo lists itself. */
const OTHER_INPUTS = [
  "Cargo.toml", "Cargo.lock", ...readdirSync(join(root, "crates")).map((name) => `crates/${name}/Cargo.toml`),
  "package-lock.json", "scripts/lib/worker.mjs", "scripts/lib/order.mjs",
].map((name) => join(root, name));

/** What the wasm may use: the features that rustc turns on by itself, and exceptions, which wasm-bindgen catches. */
const WASM_FEATURES = [
  "mutable-globals", "sign-ext", "nontrapping-float-to-int", "bulk-memory", "multivalue", "reference-types",
  "exception-handling",
];

const RECORD = join(build, ".inputs.json");
const PRODUCTS = ["index.js", "index_bg.wasm"].map((name) => join(build, name));

/** Makes build/index.js, build/index_bg.wasm, and what of public/ is not checked in. */
export async function buildWorker() {
  await ensurePackages();
  copySwaggerUi();
  if (PRODUCTS.every(existsSync) && isFresh(RECORD)) return say("The worker is built already");
  const { workerBuild, env } = await wasmEnvironment();
  await step("Building the worker", async () => {
    // worker-build writes beside the crate; cargo's progress is worth seeing only on a terminal.
    const target = join(root, "target");
    await run(workerBuild, ["--release"], { env: { ...env, CARGO_TARGET_DIR: target }, show: process.stdout.isTTY });
    mkdirSync(build, { recursive: true });
    const wasm = join(build, "index_bg.wasm");
    // The names, an eighth of the whole, serve once more: to sort the functions by.
    writeFileSync(wasm, named(readFileSync(wasm)));
    const passes = ["-Oz", "--reorder-functions-by-name", "--strip-debug"];
    await run(env.WASM_OPT_BIN, [...WASM_FEATURES.map((name) => `--enable-${name}`), ...passes, wasm, "-o", wasm]);
    const inputs = rustInputs(join(target, "wasm32-unknown-unknown/release/rostrum.d"));
    remember(RECORD, [...inputs, ...OTHER_INPUTS]);
  });
}
