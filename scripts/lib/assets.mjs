// The static assets: public/ as it is checked in, with Swagger UI out of its npm package.

import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "./paths.mjs";

/** What the page loads, and the licences under which it may be handed on. */
const FILES = [
  "swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png",
  "LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt",
];

/** Makes public/api/swagger/ui what the installed package holds. */
export function copySwaggerUi() {
  const folder = join(root, "public/api/swagger/ui");
  rmSync(folder, { recursive: true, force: true });
  for (const name of FILES) cpSync(join(root, "node_modules/swagger-ui-dist", name), join(folder, name));
}
