// Shows openapi.json: the operations, then the schemas.

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  summary { cursor: pointer } code, pre { font-size: 0.9em } pre { overflow-x: auto }
  td { padding: 0 1rem 0 0; vertical-align: top }`);
document.adoptedStyleSheets = [sheet];

function element(name, ...children) {
  const created = document.createElement(name);
  created.append(...children);
  return created;
}

function table(rows) {
  return element("table", ...rows.map((cells) => element("tr", ...cells.map((cell) => element("td", cell)))));
}

const json = (value) => element("pre", JSON.stringify(value, null, 2));
const code = (text) => element("code", text);

function showOperation(path, method, operation) {
  const details = element("details", element("summary", code(`${method.toUpperCase()} ${path}`), ` ${operation.summary}`));
  if (operation.description) details.append(element("p", operation.description));
  const parameters = (operation.parameters ?? []).map(({ name, in: place, description }) => [code(name), place, description]);
  if (parameters.length > 0) details.append(element("h3", "Parameters"), table(parameters));
  for (const [type, { schema }] of Object.entries(operation.requestBody?.content ?? {})) {
    details.append(element("h3", `Body: ${type}`), json(schema));
  }
  for (const [status, response] of Object.entries(operation.responses)) {
    for (const [type, { schema }] of Object.entries(response.content ?? {})) {
      details.append(element("h3", `${status}: ${type}`), json(schema));
    }
  }
  return details;
}

const main = document.querySelector("main");
const response = await fetch("openapi.json");
if (response.ok) {
  const { paths, components } = await response.json();
  main.append(element("h2", "Operations"));
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) main.append(showOperation(path, method, operation));
  }
  main.append(element("h2", "Schemas"));
  for (const [name, schema] of Object.entries(components.schemas)) {
    main.append(element("details", element("summary", code(name)), json(schema)));
  }
} else {
  main.append(element("p", `openapi.json cannot be read: ${response.status}`));
}
