// The registry with a count of what it asks the database, and a log of what each job took. What asks the database is
// slower for it, and nothing else is.
//
// The bytes of a batch are those of its parameters as JavaScript holds them: a byte a character, or two when any is
// beyond Latin-1.
import { wasmBytes } from "./memory.js";
import Registry from "./index.js";

let batches = 0;
let statements = 0;
let largestBatch = 0;

/** The bytes of each prepared statement's parameters. */
const sizes = new WeakMap();

/** `target`, some of whose methods are `replaced`: functions of the target that give the method. */
function instead(target, replaced) {
  return new Proxy(target, {
    get(_, key) {
      if (Object.hasOwn(replaced, key)) return replaced[key];
      const value = Reflect.get(target, key);
      return typeof value === "function" && key !== "constructor" ? value.bind(target) : value;
    },
  });
}

/** A database, or a session of one. */
function counted(database) {
  return instead(database, {
    prepare: (sql) => measured(database.prepare(sql)),
    withSession: (...args) => counted(database.withSession(...args)),
    batch: (prepared) => {
      batches += 1;
      statements += prepared.length;
      largestBatch = Math.max(largestBatch, prepared.reduce((sum, each) => sum + (sizes.get(each) ?? 0), 0));
      return database.batch(prepared);
    },
  });
}

/** A statement whose parameters are measured. */
function measured(statement) {
  return instead(statement, {
    bind: (...args) => {
      const bound = statement.bind(...args);
      sizes.set(bound, args.reduce((sum, each) => sum + (typeof each === "string" ? bytesOf(each) : 8), 0));
      return bound;
    },
  });
}

const bytesOf = (text) => (/[^\0-\xff]/.test(text) ? 2 : 1) * text.length;

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
    largestBatch = 0;
    await super.queue(batch);
    console.log(`bench: ${JSON.stringify({ job, batches: batches - before, largestBatch, wasmBytes: wasmBytes() })}`);
  }
}
