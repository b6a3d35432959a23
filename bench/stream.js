// Streams an object as the runtime itself would: what the registry's downloads are measured against.
export default {
  async fetch(request, env) {
    const object = await env.ARTIFACTS.get(new URL(request.url).pathname.slice(1));
    return object ? new Response(object.body) : new Response("absent", { status: 404 });
  },
};
