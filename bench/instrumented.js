// The registry with a count of what it asks the database, and a log of what each job took. What asks the database is
// slower for it, and nothing else is.
import { wasmBytes } from "./memory.js";
import Registry from "./index.js";

let batches = 0;
let statements = 0;

function counted(database) {
  return new Proxy(database, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (typeof value !== "function" || key === "constructor") return value;
      if (key !== "batch") return value.bind(target);
      return (prepared) => {
        batches += 1;
        statements += prepared.length;
        return target.batch(prepared);
      };
    },
  });
}

export default class extends Registry {
  constructor(context, env) {
    super(context, { ...env, DB: counted(env.DB) });
  }

  fetch(request) {
    if (request.url.endsWith("/bench/wasm-bytes")) return new Response(String(wasmBytes()));
    if (request.url.endsWith("/bench/calls")) return Response.json({ batches, statements });
    return super.fetch(request);
  }

  async queue(batch) {
    const { job } = JSON.parse(batch.messages[0].body);
    const before = batches;
    await super.queue(batch);
    console.log(`bench: ${JSON.stringify({ job, batches: batches - before, wasmBytes: wasmBytes() })}`);
  }
}
