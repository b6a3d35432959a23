// "Try it out" in a real browser: Swagger UI authorizes, asks, and shows what the registry answered.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startBrowser } from "./support/browser.mjs";
import { ADMIN_TOKEN, startRegistry } from "./support/registry.mjs";

let registry;
let browser;
let page;
before(async () => {
  [registry, browser] = await Promise.all([startRegistry(), startBrowser()]);
  page = await browser.open(`${registry.url}/api/swagger`);
});
after(async () => {
  await registry?.stop();
  await browser?.stop();
});

/** Has the page show the tags whose names hold `text` alone; of all of them it draws what is in sight. */
async function filterBy(text) {
  await page.waitFor('document.querySelector(".operation-filter-input") !== null');
  await page.evaluate(`(() => {
    const input = document.querySelector(".operation-filter-input");
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(input, ${JSON.stringify(text)});
    input.dispatchEvent(new Event("input", { bubbles: true }));
  })()`);
}

/** Tries an operation out with what the page suggests; the status and the body that it shows. */
async function tryOut(tag, operation) {
  await filterBy(tag);
  const block = `#operations-${tag}-${operation}`;
  await page.click(`${block} .opblock-summary-control`);
  await page.click(`${block} .try-out__btn`);
  await page.click(`${block} .execute`);
  const shown = (selector) => `document.querySelector(${JSON.stringify(`${block} .live-responses-table ${selector}`)})?.innerText`;
  const status = await page.waitFor(shown("tbody .response-col_status"));
  return { status: status.trim().split(/\s/)[0], body: await page.waitFor(shown(".highlight-code code")) };
}

test("the page shows every tag and operation of the document", async () => {
  const { tags, paths } = await (await registry.request("/api/openapi.json")).json();
  const operations = Object.values(paths).flatMap((item) => Object.values(item));
  let shown = 0;
  for (const { name } of tags) {
    await filterBy(name);
    const ids = operations.filter((operation) => operation.tags.includes(name)).map(({ operationId }) => operationId);
    for (const id of ids) await page.waitFor(`document.getElementById("operations-${name}-${id}") !== null`);
    shown += ids.length;
  }
  assert.equal(shown, operations.length);
});

test("without a token, what is tried out is refused", async () => {
  const { status, body } = await tryOut("settings", "get_settings");
  assert.equal(status, "401");
  assert.match(body, /"code": "UNAUTHENTICATED"/);
});

test("with a token, a list is shown, and what the page suggests is made", async () => {
  await page.click(".btn.authorize");
  await page.type("#auth-bearer-value", ADMIN_TOKEN);
  await page.click(".auth-container:has(#auth-bearer-value) .btn.authorize");
  await page.click(".modal-ux .btn-done");

  const made = await tryOut("tokens", "create_token");
  assert.equal(made.status, "201", made.body);
  const { token, description } = JSON.parse(made.body);
  assert.match(token, /^rst_/);

  const listed = await tryOut("tokens", "list_tokens");
  assert.equal(listed.status, "200", listed.body);
  assert.deepEqual(JSON.parse(listed.body).map((one) => one.description), [description]);

  // What was refused above is the one thing that went wrong on the page.
  assert.equal(page.problems.length, 1, page.problems.join("\n"));
  assert.match(page.problems[0], /401/);
});
