// Starting other programs: shown to the person, or kept quiet and shown only when they fail.

import { spawn } from "node:child_process";
import { root } from "./paths.mjs";
import { Stop } from "./say.mjs";

/**
 * Runs a program and resolves to `{ code, stdout, stderr }`; a program that cannot be started has code 127.
 * `show: true` hands it this terminal; `onOutput` sees its output as it comes. `timeout` is in milliseconds.
 */
export function attempt(program, args, { cwd = root, env = process.env, show = false, timeout = 0, onOutput } = {}) {
  return new Promise((resolve) => {
    const stream = show ? "inherit" : "pipe";
    const child = spawn(program, args, { cwd, env, timeout, stdio: ["ignore", stream, stream] });
    let stdout = "";
    let stderr = "";
    child.stdout?.setEncoding("utf8").on("data", (piece) => ((stdout += piece), onOutput?.(piece)));
    child.stderr?.setEncoding("utf8").on("data", (piece) => ((stderr += piece), onOutput?.(piece)));
    child.on("error", (error) => resolve({ code: 127, stdout, stderr: String(error) }));
    child.on("close", (code) => resolve({ code: code ?? 1, stdout, stderr }));
  });
}

/** Runs a program that has to succeed. When it does not, its output is shown and the script stops. */
export async function run(program, args, options = {}) {
  const result = await attempt(program, args, options);
  if (result.code !== 0) {
    if (!options.show) process.stderr.write(result.stdout + result.stderr);
    throw new Stop(options.failure ?? `\`${[program, ...args].join(" ")}\` failed with exit code ${result.code}.`);
  }
  return result;
}

/** Whether a program is there and answers `--version` (or the given arguments) with success. */
export async function answers(program, args = ["--version"]) {
  return (await attempt(program, args, { timeout: 20_000 })).code === 0;
}
