// The registry with a database that says in the log how often it is called. Only for counting, never for timing.
import Registry from "./index.js";

function counted(database) {
  return new Proxy(database, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      if (key === "batch") return (...args) => (console.log("bench: d1 batch"), target.batch(...args));
      return value.bind(target);
    },
  });
}

export default class extends Registry {
  constructor(context, env) {
    super(context, { ...env, DB: counted(env.DB) });
  }
}
