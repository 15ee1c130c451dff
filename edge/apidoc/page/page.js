// Shows the documents of the API: every function, push, endpoint and line, with its content and an example. Texts enter the
// page as text only.
'use strict';

const kinds = [['all', 'All'], ['function', 'Functions'], ['push', 'Pushes'], ['http', 'HTTP'], ['line', 'Lines'], ['gate', 'Gate']];
let entries = [];
let kind = 'all';

// make returns an element with text or children in it.
function make(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

// follow resolves a reference inside a document.
function follow(doc, schema) {
  for (let depth = 0; schema && schema.$ref && depth < 8; depth++) {
    schema = schema.$ref.split('/').slice(1).reduce((at, part) => at && at[part], doc);
  }
  return schema || {};
}

// typeOf writes a schema in a few words.
function typeOf(doc, schema, depth = 0) {
  const s = follow(doc, schema);
  if (s.const !== undefined) return JSON.stringify(s.const);
  if (s.anyOf) return s.anyOf.map((one) => typeOf(doc, one, depth)).join(' or ');
  if (s.allOf) return s.allOf.map((one) => typeOf(doc, one, depth)).join(' and ');
  const names = [].concat(s.type || 'anything');
  const words = names.map((name) => {
    if (name === 'array') return depth > 3 ? 'list' : 'list of ' + typeOf(doc, s.items, depth + 1);
    if (name !== 'object') return s.format === 'date-time' ? 'time' : name;
    if (s.properties) return depth > 3 ? 'object' : '{' + Object.entries(s.properties).map(([key, one]) => key + ': ' + typeOf(doc, one, depth + 1)).join(', ') + '}';
    return s.additionalProperties ? 'map of ' + typeOf(doc, s.additionalProperties, depth + 1) : 'object';
  });
  return words.join(' or ');
}

// members lists what an object holds, as rows of a table.
function members(doc, schema) {
  const s = follow(doc, schema);
  if (s.allOf) return s.allOf.flatMap((one) => members(doc, one));
  return Object.entries(s.properties || {}).map(([name, one]) =>
    [name, typeOf(doc, one) + ((s.required || []).includes(name) ? '' : ', may be missing'), follow(doc, one).description || '']);
}

// table shows rows; nothing when there are none.
function table(title, rows) {
  if (rows.length === 0) return [];
  return [make('h3', {}, title), make('table', {}, make('tbody', {}, ...rows.map((row) => make('tr', {}, ...row.filter((cell) => cell !== '').map((cell) => make('td', {}, cell))))))];
}

// example shows a value with a button that copies it.
function example(title, value) {
  const written = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
  const copy = make('button', {class: 'copy', type: 'button'}, 'Copy');
  copy.addEventListener('click', () => navigator.clipboard && navigator.clipboard.writeText(written).then(() => { copy.textContent = 'Copied'; }));
  return [make('h3', {}, title), navigator.clipboard ? copy : '', make('pre', {tabindex: '0'}, written)];
}

// functions and pushes of the AsyncAPI document.
function fromAsync(doc) {
  const list = [];
  for (const [id, o] of Object.entries(doc.operations)) {
    const message = follow(doc, follow(doc, o.messages[0]));
    const sample = (message.examples || [{}])[0].payload;
    const payload = follow(doc, message.payload);
    const common = {id, about: o.description || message.summary, title: o.summary};
    if (id.startsWith('call_')) {
      const reply = follow(doc, follow(doc, o.reply.messages[0])).payload;
      list.push({...common, kind: 'function', group: 'Functions: ' + o.summary.split('/')[1], tags: ['needs ' + o['x-needs'], 'rate ' + o['x-rate']], inside: () => [
        ...table('content', members(doc, payload.properties.content)), ...example('call', sample), ...table('content of the answer', members(doc, reply.properties.content))]});
    } else if (id.startsWith('push_')) {
      list.push({...common, kind: 'push', group: 'Pushes', tags: [o['x-subject'] || '', o['x-kept'] ? 'kept' : ''], inside: () => [
        ...table('content', members(doc, payload.properties.content)), ...example('push', sample)]});
    } else if (id.startsWith('gate_')) {
      list.push({...common, kind: 'gate', group: 'Gate', tags: [], inside: () => [...table('data', members(doc, payload.properties.data)), ...example('line', JSON.stringify(sample))]});
    } else if (id.startsWith('line_')) {
      list.push({...common, kind: 'line', group: 'Lines', tags: [o.action === 'send' ? 'from the node' : 'from clients'], inside: () => []});
    }
  }
  return list;
}

// endpoints of the OpenAPI document, but for the functions.
function fromOpen(doc) {
  const list = [];
  for (const [path, methods] of Object.entries(doc.paths)) {
    for (const [method, o] of Object.entries(methods)) {
      if (o.operationId.startsWith('call_')) continue;
      const rows = (o.parameters || []).map((p) => [p.name, p.in + (p.required ? '' : ', may be missing'), p.description || '']);
      const answers = Object.entries(o.responses).map(([code, r]) => [code, r.description]);
      const body = Object.values((o.requestBody || {}).content || {})[0];
      const good = Object.values(o.responses)[0].content;
      list.push({kind: 'http', id: o.operationId, group: 'HTTP: ' + o.tags[0], title: method.toUpperCase() + ' ' + path, about: o.description, tags: [], inside: () => [
        ...table('parameters', rows), ...(body ? table('body', members(doc, body.schema)) : []), ...(body && body.example ? example('body', body.example) : []),
        ...(good ? table('answer', members(doc, Object.values(good)[0].schema)) : []), ...table('codes', answers)]});
    }
  }
  return list;
}

// card shows an entry; what is inside is made when it is opened.
function card(entry) {
  const box = make('details', {id: entry.id}, make('summary', {}, make('b', {}, entry.title), make('span', {}, entry.about.split('\n')[0]),
    ...entry.tags.filter(Boolean).map((tag) => make('i', {class: 'tag'}, tag))));
  box.addEventListener('toggle', () => {
    if (!box.open) return;
    if (box.children.length === 1) {
      box.append(make('div', {class: 'inside'}, ...entry.about.split('\n').filter(Boolean).slice(1).map((line) => make('p', {}, line)), ...entry.inside()));
    }
    history.replaceState(null, '', '#' + entry.id);
  });
  return box;
}

// show lists what fits the search, under its headings.
function show() {
  const words = document.getElementById('search').value.toLowerCase().split(/\s+/).filter(Boolean);
  const fitting = entries.filter((e) => (kind === 'all' || e.kind === kind) && words.every((word) => e.text.includes(word)));
  const groups = new Map();
  for (const e of fitting) groups.set(e.group, [...(groups.get(e.group) || []), e]);
  const list = document.getElementById('list');
  list.replaceChildren(...[...groups].flatMap(([name, group]) => [make('h2', {}, name + ' (' + group.length + ')'), ...group.map((e) => e.card)]));
  if (fitting.length === 0) list.append(make('p', {id: 'none'}, 'Nothing fits.'));
  for (const button of document.querySelectorAll('#kinds button')) button.setAttribute('aria-pressed', String(button.dataset.kind === kind));
}

async function load(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(path + ': ' + response.status);
  return response.json();
}

async function start() {
  const [open, asynchronous] = await Promise.all([load('/api/openapi.json'), load('/api/asyncapi.json')]);
  document.getElementById('version').textContent = open.info.version;
  const order = kinds.map(([name]) => name);
  entries = [...fromAsync(asynchronous), ...fromOpen(open)].sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind) || a.group.localeCompare(b.group));
  for (const e of entries) {
    e.text = (e.title + ' ' + e.about + ' ' + e.group + ' ' + e.tags.join(' ')).toLowerCase();
    e.card = card(e);
  }
  for (const [name, label] of kinds) {
    const button = make('button', {type: 'button', 'data-kind': name, 'aria-pressed': 'false'}, label);
    button.addEventListener('click', () => { kind = name; show(); });
    document.getElementById('kinds').append(button);
  }
  document.getElementById('search').addEventListener('input', show);
  show();
  const wanted = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (wanted && wanted.tagName === 'DETAILS') {
    wanted.open = true;
    wanted.scrollIntoView();
  }
}

start().catch((error) => document.getElementById('list').replaceChildren(make('p', {}, 'The documents could not be read: ' + error.message)));
