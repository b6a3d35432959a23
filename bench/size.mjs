// What the registry's wasm weighs.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "../scripts/lib/paths.mjs";

/** 1 MiB, as in scripts/size.mjs. */
const BUDGET = 1024 * 1024;

export async function size() {
  const wasm = readFileSync(join(build, "index_bg.wasm"));
  const packed = gzipSync(wasm, { level: 9 }).length;
  const kib = (bytes) => `${(bytes / 1024).toFixed(0)} KiB`;
  const text = `wasm: ${kib(packed)} gzipped (${kib(wasm.length)} as it is), wanted at most ${kib(BUDGET)}`;
  return [{ ok: packed <= BUDGET, text }];
}
