// Shows the OpenAPI description of this server. Swagger UI and Redoc need styles in the page, which the policy of the
// server forbids, and weigh more than all the rest of the studio.
"use strict";

const content = document.getElementById("content");
const form = document.getElementById("unlock");

function element(name, text = "", ...inside) {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...inside);
  return made;
}

function table(headings, rows) {
  const head = element("tr", "", ...headings.map((text) => element("th", text)));
  const lines = rows.map((cells) => element("tr", "", ...cells.map((cell) => element("td", "", cell))));
  const scroll = element("div", "", element("table", "", element("thead", "", head), element("tbody", "", ...lines)));
  scroll.className = "scroll";
  scroll.tabIndex = 0;
  return scroll;
}

const nameOf = (schema) => schema.$ref?.split("/").pop();

function typeOf(schema, all) {
  if (schema.$ref) return "object";
  if (schema.anyOf) return [...new Set(schema.anyOf.map((one) => typeOf(one, all)))].join(" or ");
  if (schema.type === "array") return `array of ${typeOf(schema.items, all).replace(/^(\w+)/, "$1s")}`;
  return schema.type ?? "any";
}

// The object that a key holds, alone or in arrays, and what stands behind the key in the path to its keys.
function inner(schema, all, path) {
  if (schema.$ref) return [all[nameOf(schema)], path];
  if (schema.type === "array") return inner(schema.items, all, `${path}[]`);
  if (schema.anyOf) return schema.anyOf.map((one) => inner(one, all, path)).find(([found]) => found) ?? [undefined, path];
  return [undefined, path];
}

function* keysOf(schema, all, before = "") {
  for (const [key, one] of Object.entries(schema.properties ?? {})) {
    const needed = schema.required?.includes(key);
    const fallback = one.default == null || one.default === "" ? "" : ` Default: ${JSON.stringify(one.default)}.`;
    const [found, path] = inner(one, all, before + key);
    const meaning = (one.description ?? found?.description ?? "") + fallback;
    yield [element("code", before + key), `${typeOf(one, all)}${needed ? "" : ", optional"}`, meaning];
    if (found) yield* keysOf(found, all, `${path}.`);
  }
}

function example(method, path, body) {
  const lines = [`curl -H 'Authorization: Bearer TOKEN' -H 'Origin: ${location.origin}'`];
  if (body) lines.push(`  -H 'Content-Type: application/json' -d '{"cells": [[0, 1], [1, -1]]}'`);
  lines.push(`  ${location.origin}${path}`);
  return element("pre", lines.join(" \\\n"));
}

function section(path, method, operation, all) {
  const title = element("h2", operation.summary);
  title.id = operation.operationId;
  const parts = [title, element("p", "", element("code", `${method.toUpperCase()} ${path}`))];
  if (operation.description) parts.push(element("p", operation.description));
  const body = operation.requestBody?.content["application/json"].schema;
  if (body) {
    const asked = all[nameOf(body)];
    parts.push(element("h3", "Request"), table(["key", "type", "meaning"], [...keysOf(asked, all)]));
  }
  const answer = all[nameOf(operation.responses["200"].content["application/json"].schema)];
  parts.push(element("h3", "Answer"), table(["key", "type", "meaning"], [...keysOf(answer, all)]));
  parts.push(element("h3", "Example"), example(method, path, body));
  return element("section", "", ...parts);
}

function show(description) {
  const all = description.components.schemas;
  const operations = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })));
  const links = operations.map(({ operation }) => {
    const link = element("a", operation.summary);
    link.href = `#${operation.operationId}`;
    return element("li", "", link);
  });
  const problems = Object.entries(operations[0].operation.responses).filter(([status]) => status >= 400);
  content.replaceChildren(
    element("p", `${description.info.summary} Version ${description.info.version}.`),
    element("nav", "", element("ul", "", ...links)),
    ...operations.map(({ path, method, operation }) => section(path, method, operation, all)),
    element("h2", "Errors"),
    element("p", "Each is an object with one key, error: a line that says what is wrong."),
    table(["status", "when"], problems.map(([status, one]) => [status, one.description])),
  );
  form.hidden = true;
}

async function load(token) {
  const problem = document.getElementById("problem");
  try {
    const response = await fetch("/api/openapi.json", { headers: { Authorization: `Bearer ${token}` } });
    const answer = await response.json();
    if (response.ok) show(answer);
    else problem.textContent = answer.error;
  } catch (error) {
    problem.textContent = `The server does not answer (${error.message}): is it still running?`;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  load(document.getElementById("token").value);
});
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  history.replaceState(null, "", location.pathname);
  load(given);
}
