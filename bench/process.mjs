// What the operating system knows of workerd.

import { readFileSync, readdirSync } from "node:fs";

/** Why the memory of a process is not measured here, or `null`. */
export const unmeasured =
  process.platform === "linux" ? null : `it is read from /proc, which ${process.platform} does not have`;

/** The workerd processes that this one started and that still run. */
function workerds() {
  const children = readdirSync(`/proc/${process.pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${process.pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean),
  );
  return children.filter((pid) => status(pid, "Name") === "workerd");
}

function status(pid, field) {
  return new RegExp(`^${field}:\\s*(\\S+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
}

/** The resident memory of workerd, in MB. */
export function residentMegabytes() {
  const pids = workerds();
  if (pids.length !== 1) throw new Error(`${pids.length} workerd processes are running instead of one`);
  return (Number(status(pids[0], "VmRSS")) * 1024) / 1e6;
}

/** Clock ticks in a second: what `getconf CLK_TCK` says on every Linux. */
const TICKS = 100;

/**
 * The seconds of CPU time that workerd has used, all its processes and threads together; `NaN` where that is not to be
 * had.
 */
export function cpuSeconds() {
  if (unmeasured) return NaN;
  const ticks = workerds().flatMap((pid) =>
    readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ").slice(11, 13).map(Number),
  );
  return ticks.reduce((sum, each) => sum + each, 0) / TICKS;
}

/** Does `work` and watches the memory meanwhile: `{ before, peak, after, result }`, in MB. */
export async function watchMemory(work) {
  if (unmeasured) return { result: await work() };
  const before = residentMegabytes();
  let peak = before;
  const look = setInterval(() => (peak = Math.max(peak, residentMegabytes())), 20);
  try {
    const result = await work();
    peak = Math.max(peak, residentMegabytes());
    await new Promise((resolve) => setTimeout(resolve, 1000));
    return { before, peak, after: residentMegabytes(), result };
  } finally {
    clearInterval(look);
  }
}
