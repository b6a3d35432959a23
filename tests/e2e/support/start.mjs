// `npm start` as a person runs it, with state of its own.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { root } from "../../../scripts/lib/paths.mjs";
import { ADMIN_TOKEN, ENCRYPTION_KEY } from "./registry.mjs";

/** It is ready by then, even beside everything else that a machine is busy with. */
const START_TIMEOUT = 60_000;

/**
 * Runs it until it is ready; `meanwhile` is called with its address every 50 ms until then. `command` is what is typed: where it
 * exports PORT and STATE_DIR, a port and a folder of the test's own are filled in. The result is asked as the registry of
 * `startRegistry` is; `exit` becomes `{ code, output }` when it has ended, however.
 */
export async function startByHand({ meanwhile, command = "npm start --silent" } = {}) {
  const state = mkdtempSync(join(tmpdir(), "rostrum-start-"));
  const port = await freePort();
  const filledIn = command.replace(/PORT=\S+/, `PORT=${port}`).replace(/STATE_DIR=\S+/, `STATE_DIR=${state}`);
  const child = spawn("bash", ["-c", filledIn], {
    cwd: root,
    detached: true,
    env: { ...process.env, PORT: String(port), STATE_DIR: state, ADMIN_TOKEN, ENCRYPTION_KEY },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const exit = new Promise((resolve) => child.once("close", (code) => resolve({ code, output })));
  const ready = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`it does not become ready: ${output}`)), START_TIMEOUT);
    const keep = (piece) => {
      output += piece;
      if (output.includes("Ctrl-C stops it.")) resolve(clearTimeout(timer));
    };
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", keep);
    exit.then(() => reject(new Error(`it ended before it was ready: ${output}`)));
  });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, "SIGTERM");
    await exit;
    rmSync(state, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  const asking = meanwhile && setInterval(() => meanwhile(url), 50);
  await ready.finally(() => clearInterval(asking)).catch(async (error) => {
    await stop();
    throw error;
  });
  return {
    url,
    exit,
    stop,
    /** A request of the operator; an object as `json` is sent as such. */
    admin: (path, { json, headers, ...options } = {}) =>
      fetch(new URL(path, url), {
        ...(json === undefined ? {} : { body: JSON.stringify(json), method: "POST" }),
        ...options,
        headers: {
          authorization: `Bearer ${ADMIN_TOKEN}`,
          connection: "close",
          ...(json === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
      }),
    /** Kills the runtime that it started. */
    killRuntime() {
      const list = execFileSync("ps", ["-A", "-o", "pid=,ppid=,comm="], { encoding: "utf8" }).trim().split("\n");
      const processes = list.map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line).slice(1));
      const children = (of) => processes.filter(([, parent]) => parent === of).flatMap((one) => [one, ...children(one[0])]);
      const runtime = children(String(child.pid)).find(([, , name]) => basename(name).startsWith("workerd"));
      process.kill(Number(runtime[0]), "SIGKILL");
    },
  };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
