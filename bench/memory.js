// Finds the wasm module's memory, which the registry's own module keeps to itself. Has to be imported before it.

let memory;

const { Instance } = WebAssembly;
WebAssembly.Instance = function (...args) {
  const instance = new Instance(...args);
  memory = instance.exports.memory;
  return instance;
};

/** The bytes of the wasm memory. It never shrinks, so this is also the most that it ever was. */
export const wasmBytes = () => memory?.buffer.byteLength ?? 0;
