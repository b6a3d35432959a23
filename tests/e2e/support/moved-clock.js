// The registry with a clock that a test can move. It stands before the registry's own module, in the tests' runtime alone.
import Registry from "./index.js";

const now = Date.now.bind(Date);
let ahead = 0;
Date.now = () => now() + ahead;

export default class extends Registry {
  fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname !== "/moved-clock") return super.fetch(request);
    ahead = Number(searchParams.get("seconds")) * 1000;
    return new Response(String(Date.now()));
  }
}
