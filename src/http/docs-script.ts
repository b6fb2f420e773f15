/**
 * What runs in the page of GET /docs: it fetches the document of the API and shows it. Text only; it runs in
 * a browser, never in the server. Whatever the document says must become text, and never markup.
 */

/** The script. It asks little of a browser, so that a test can be one. */
export const DOCS_SCRIPT = String.raw`'use strict';
(() => {
  const KINDS = {
    honoured: ['使う', 'Honoured'],
    refused: ['断る。何も頼まない値だけは受け取る', 'Refused by name, unless the value asks for nothing'],
    ignored: ['無視して x-hoshikage-ignored で知らせる', 'Ignored, and named in x-hoshikage-ignored'],
  };

  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  /** 'ja / en' as two texts, the English one marked as such. */
  function both(words) {
    const at = words.indexOf(' / ');
    if (at < 0) return [words];
    return [words.slice(0, at), ' ', english(words.slice(at + 3))];
  }

  function english(words) {
    return el('span', { lang: 'en', class: 'en' }, words);
  }

  function follow(schema, whole) {
    let found = schema;
    while (found && found.$ref) found = whole.components.schemas[found.$ref.split('/').pop()];
    return found || {};
  }

  /** The forms a value may have, without null. */
  function formsOf(schema, whole) {
    const found = follow(schema, whole);
    const forms = found.anyOf ? found.anyOf.flatMap((one) => formsOf(one, whole)) : [found];
    return forms.filter((form) => form.type !== 'null');
  }

  function typesOf(form) {
    return [].concat(form.type || []).filter((type) => type !== 'null');
  }

  function typeText(schema, whole) {
    const texts = formsOf(schema, whole).map((form) => {
      if ('const' in form) return JSON.stringify(form.const);
      if (form.enum) {
        return form.enum.filter((value) => value !== null).map((value) => JSON.stringify(value)).join(' | ');
      }
      const type = typesOf(form).join(' | ');
      if (type !== 'array') return type;
      const item = typeText(form.items || {}, whole);
      return (item.includes(' | ') ? '(' + item + ')' : item) + '[]';
    });
    return [...new Set(texts.filter((text) => text !== ''))].join(' | ');
  }

  const LARGE = 2147483647;

  function shown(value) {
    return value.toLocaleString('en');
  }

  function between(low, high, unit) {
    const least = low === undefined || low <= -LARGE ? null : low;
    const most = high === undefined || high >= LARGE ? null : high;
    if (least === null && most === null) return '';
    if (least === null) return '≤ ' + shown(most) + unit;
    if (most === null) return '≥ ' + shown(least) + unit;
    return shown(least) + ' – ' + shown(most) + unit;
  }

  function rangeOf(form, whole) {
    const { exclusiveMinimum: above, maximum } = form;
    const texts = [
      above === undefined ? between(form.minimum, maximum, '') : '> ' + above + (maximum === undefined ? '' : ', ≤ ' + maximum),
      between(form.minLength > 0 ? form.minLength : undefined, form.maxLength, ' 文字 chars'),
      form.maxItems === 0 ? '' : between(form.minItems, form.maxItems, ' 個 items'),
      between(undefined, form.maxProperties, ' 個 entries'),
    ];
    if (typesOf(form)[0] === 'array') {
      const inner = formsOf(form.items || {}, whole).map((one) => rangeOf(one, whole));
      texts.push(...inner.filter((text) => text !== '').map((text) => '1 つ each ' + text));
    }
    return texts.filter((text) => text !== '').join('、');
  }

  /** A line for each form that has a range, one for all others. */
  function typeParts(field, whole) {
    const forms = formsOf(field, whole).map((form) => [typeText(form, whole), rangeOf(form, whole)]);
    const plain = forms.filter(([, range]) => range === '').map(([text]) => text);
    const all = plain.filter((text) => text !== '').join(' | ');
    const lines = [
      ...(all === '' ? [] : [[all, '']]),
      ...forms.filter(([, range]) => range !== ''),
    ];
    return lines.map(([text, range]) =>
      el('div', {}, el('code', {}, text), ...(range === '' ? [] : [' ', el('span', { class: 'range' }, range)])),
    );
  }

  /** All fields of a body, those inside others by their whole name. */
  function fieldsOf(schema, whole, prefix) {
    return formsOf(schema, whole).flatMap((form) => {
      if (typesOf(form)[0] === 'array') return fieldsOf(form.items || {}, whole, prefix + '[]');
      const at = prefix === '' ? '' : prefix + '.';
      return Object.entries(form.properties || {}).flatMap(([name, field]) => [
        { name: at + name, field, required: (form.required || []).includes(name) },
        ...fieldsOf(field, whole, at + name),
      ]);
    });
  }

  function defaultOf(field) {
    const setting = field['x-hoshikage-setting'];
    const parts = [];
    if ('default' in field) parts.push(el('code', {}, JSON.stringify(field.default)));
    if (setting) parts.push(el('span', { class: 'setting' }, '設定 ', el('code', {}, setting)));
    return parts;
  }

  /** A long name may go on in the next line where a part of it begins. */
  function breakable(name, mark) {
    return name.split(mark).flatMap((part, at) => (at === 0 ? [part] : [el('wbr', {}), mark + part]));
  }

  /** Without the columns that a kind has nothing to say in. */
  function columns(kind, [name, type, absent, words]) {
    if (kind === 'honoured') return [name, type, absent, words];
    return kind === 'refused' ? [name, type, words] : [name, words];
  }

  function fieldRow({ name, field, required }, whole, kind) {
    const types = typeParts(field, whole);
    if (kind === 'refused' && types.length === 0) types.push('なし ', english('none'));
    const title = el('th', { scope: 'row' }, el('code', {}, ...breakable(name, '.')));
    if (required) title.append(' ', el('span', { class: 'must' }, '必須 ', english('required')));
    const cells = [
      title,
      el('td', { class: 'type' }, ...types),
      el('td', { class: 'absent' }, ...defaultOf(field)),
      el('td', { class: 'words' }, ...both(field.description || '')),
    ];
    return el('tr', {}, ...columns(kind, cells));
  }

  function tableOf(fields, whole, kind) {
    const heads = [
      ['項目', 'Field'],
      [kind === 'refused' ? '受け取る値' : '型と範囲', kind === 'refused' ? 'Accepted' : 'Type and range'],
      ['書かないとき', 'Default'],
      ['意味', 'Meaning'],
    ];
    const head = columns(kind, heads).map(([ja, en]) => el('th', { scope: 'col' }, ja, ' ', english(en)));
    return el(
      'table',
      {},
      el('thead', {}, el('tr', {}, ...head)),
      el('tbody', {}, ...fields.map((one) => fieldRow(one, whole, kind))),
    );
  }

  function nameOfBody({ requestBody }) {
    return requestBody && requestBody.content['application/json'].schema.$ref;
  }

  /** A route that takes what one before it takes says so; the list of fields stands there. */
  function bodyParts(operation, whole) {
    const name = nameOfBody(operation);
    const first = routesOf(whole).find((one) => name && nameOfBody(one.operation) === name);
    if (first && first.operation.operationId !== operation.operationId) {
      const link = el('a', { href: '#' + first.operation.operationId }, first.method + ' ' + first.path);
      return [el('p', { class: 'same' }, '本文は次と同じ ', english('The same body as'), ' ', link)];
    }
    const fields = fieldsOf(operation.requestBody.content['application/json'].schema, whole, '');
    return Object.entries(KINDS).flatMap(([kind, [ja, en]]) => {
      const some = fields.filter(({ field }) => field['x-hoshikage'] === kind);
      if (some.length === 0) return [];
      const title = el('summary', { class: kind }, ja, ' ', english(en), ' (' + some.length + ')');
      const attributes = kind === 'honoured' && some.length <= 12 ? { open: '' } : {};
      return [el('details', attributes, title, tableOf(some, whole, kind))];
    });
  }

  function parameterPart(parameters, whole) {
    if (!parameters) return [];
    const rows = parameters.map(({ name, schema, description, required }) => ({
      name,
      required,
      field: { ...schema, description },
    }));
    const title = el('summary', {}, 'アドレスとヘッダー ', english('Path and headers'), ' (' + rows.length + ')');
    return [el('details', {}, title, tableOf(rows, whole, 'honoured'))];
  }

  function takesNull(schema, whole) {
    const found = follow(schema, whole);
    const isNamed = [].concat(found.type || [], found.enum || []).some((one) => one === null || one === 'null');
    return isNamed || (found.anyOf || []).some((one) => takesNull(one, whole));
  }

  /** Of what is answered; a request's null asks for the default, here it is a value. */
  function answerRow({ name, field, required }, whole) {
    const type = [typeText(field, whole), takesNull(field, whole) ? 'null' : ''].filter((text) => text !== '').join(' | ');
    const row = el('li', {}, el('code', {}, ...breakable(name, '.')), ' ', el('span', { class: 'range' }, type));
    if (!required) row.append(' ', el('span', { class: 'range' }, '省略あり ', english('optional')));
    return row;
  }

  function answerParts(responses, whole) {
    return Object.entries(responses[200].content).map(([media, { schema }]) => {
      const all = fieldsOf(schema, whole, '');
      // Two kinds of events may have a field in common.
      const keys = all.map(({ name, field }) => name + ' ' + typeText(field, whole));
      const rows = all.filter((_, at) => keys.indexOf(keys[at]) === at).map((one) => answerRow(one, whole));
      const words = ['答え ', english('Answer'), ' ', el('code', {}, media)];
      if (rows.length === 0) return el('p', { class: 'answer' }, ...words);
      const title = el('summary', {}, ...words);
      return el('details', {}, title, el('ul', { class: 'answer' }, ...rows));
    });
  }

  /** One word for a shell: nothing in it means anything to the shell. */
  function quoted(text) {
    return "'" + text.replaceAll("'", "'\\''") + "'";
  }

  function curlOf({ method, path, operation }) {
    const lines = ['curl -s ' + quoted(location.origin + path.replace('{id}', 'hoshikage-guide'))];
    const { security, requestBody } = operation;
    if (method !== 'GET' && !requestBody) lines[0] += ' -X ' + method;
    if (security.length > 0) {
      const key = 'admin' in security[0] ? '$TOKEN' : '$API_KEY';
      lines.push('-H "Authorization: Bearer ' + key + '"');
    }
    if (requestBody) {
      lines.push("-H 'Content-Type: application/json'");
      lines.push('-d ' + quoted(JSON.stringify(requestBody.content['application/json'].example)));
    }
    return lines.join(' \\\n  ');
  }

  function routePart(route, whole) {
    const { method, path, operation } = route;
    const title = el('h3', {}, el('span', { class: 'method ' + method }, method), ' ', el('code', {}, path));
    return el(
      'section',
      { id: operation.operationId, class: 'route' },
      title,
      el('p', { class: 'words' }, ...both(operation.summary)),
      el('pre', { tabindex: '0' }, el('code', {}, curlOf(route))),
      ...(operation.requestBody ? bodyParts(operation, whole) : []),
      ...parameterPart(operation.parameters, whole),
      ...answerParts(operation.responses, whole),
    );
  }

  function routesOf(whole) {
    return Object.entries(whole.paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, operation]) => ({
        method: method.toUpperCase(),
        path,
        operation,
      })),
    );
  }

  function show(whole) {
    const routes = routesOf(whole);
    const list = document.getElementById('list');
    const main = document.getElementById('routes');
    document.getElementById('version').append(whole.info.version);
    document.getElementById('about').append(...both(whole.info.description));
    for (const { name, description } of whole.tags) {
      const some = routes.filter(({ operation }) => operation.tags[0] === name);
      if (some.length === 0) continue;
      main.append(el('h2', {}, ...both(description)), ...some.map((route) => routePart(route, whole)));
      const links = some.map(({ method, path, operation }) =>
        el('li', {}, el('a', { href: '#' + operation.operationId }, el('span', { class: 'method ' + method }, method), el('span', {}, ' ', ...breakable(path, '/')))),
      );
      list.append(el('li', {}, el('span', { class: 'tag' }, ...both(description)), el('ul', {}, ...links)));
    }
    // The browser looked for it before it was there.
    const meant = document.getElementById(location.hash.slice(1));
    if (meant) meant.scrollIntoView({ behavior: 'instant' });
  }

  function fail(words) {
    document.getElementById('routes').append(el('p', { class: 'failure', role: 'alert' }, ...both(words)));
  }

  fetch('openapi.json')
    .then(async (response) => {
      const body = await response.json();
      if (response.ok) show(body);
      else fail(body.error.message);
    })
    .catch(() => fail('openapi.json を受け取れませんでした / openapi.json could not be fetched'));
})();
`;
