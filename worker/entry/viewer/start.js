// Starts Swagger UI on the page at /docs. Until it stands, and wherever it fails, the page is text.
"use strict";
(() => {
  const root = document.documentElement;
  if (new URLSearchParams(location.search).get("view") === "plain") {
    root.dataset.viewer = "off";
    return;
  }
  root.dataset.viewer = "loading";

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => root.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", follow);
  follow();

  const add = (tag, members) =>
    new Promise((resolve, reject) => {
      const node = Object.assign(document.createElement(tag), members);
      node.onload = resolve;
      node.onerror = reject;
      document.head.append(node);
    });
  const parsed = new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve));

  const start = () =>
    new Promise((resolve, reject) => {
      SwaggerUIBundle({
        url: "/openapi.json",
        dom_id: "#viewer",
        deepLinking: true,
        displayRequestDuration: true,
        docExpansion: "list",
        tryItOutEnabled: true,
        // A token is forgotten with the page, and nothing is asked of other hosts.
        persistAuthorization: false,
        validatorUrl: null,
        onComplete: resolve,
        onFailure: reject,
      });
    });

  Promise.all([
    parsed,
    add("link", { rel: "stylesheet", href: "/docs/swagger-ui.css" }),
    add("script", { src: "/docs/swagger-ui-bundle.js" }),
  ])
    .then(start)
    .then(() => { root.dataset.viewer = "on"; })
    .catch(() => {
      document.getElementById("viewer").remove();
      root.dataset.viewer = "off";
    });
})();
