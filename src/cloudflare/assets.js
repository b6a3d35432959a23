// The JavaScript half of assets.rs: request and response pass by without a look into them.

export function ask(env, request) {
  return env.ASSETS.fetch(request);
}
