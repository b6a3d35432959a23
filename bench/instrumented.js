// The registry with a log of what each job took: calls of the database, and memory. Never for timing.
import { wasmBytes } from "./memory.js";
import Registry from "./index.js";

let batches = 0;

function counted(database) {
  return new Proxy(database, {
    get(target, key) {
      if (key === "batch") batches += 1;
      const value = Reflect.get(target, key);
      return typeof value === "function" && key !== "constructor" ? value.bind(target) : value;
    },
  });
}

export default class extends Registry {
  constructor(context, env) {
    super(context, { ...env, DB: counted(env.DB) });
  }

  fetch(request) {
    if (request.url.endsWith("/bench/wasm-bytes")) return new Response(String(wasmBytes()));
    return super.fetch(request);
  }

  async queue(batch) {
    const { job } = JSON.parse(batch.messages[0].body);
    const before = batches;
    await super.queue(batch);
    console.log(`bench: ${JSON.stringify({ job, batches: batches - before, wasmBytes: wasmBytes() })}`);
  }
}
