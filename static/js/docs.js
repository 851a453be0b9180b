/** The API page: Swagger UI over this server's own description, asking no other host for anything. */

import { fromAPage } from "./api.js";
import { partOfPage } from "./swagger_layout.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger",
  deepLinking: true,
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  requestInterceptor: (request) => Object.assign(request, { headers: { ...request.headers, ...fromAPage() } }),
  plugins: [partOfPage],
  layout: "PartOfPage",
});
