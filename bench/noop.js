// The floor: what the runtime does by itself.
export default {
  fetch: () => new Response("ok"),
};
