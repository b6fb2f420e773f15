/** What a template does with a conversation, found by asking it; every template here is made up. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { TemplateRenderer } from '../../src/chat/template.js';
import { factsOf, type TemplateFacts } from '../../src/chat/template-facts.js';

const renderer = new TemplateRenderer();
after(() => renderer.close());
const model = { bosText: '<s>', eosText: '</s>' };

function ask(template: string): Promise<TemplateFacts> {
  return factsOf({ renderer, template, model });
}

const each = (body: string) => `{% for m in messages %}${body}{% endfor %}`;
/** Prints calls, the arguments as this expression says. */
const calling = (given: string) =>
  each(
    `{{ m.role }}:{{ m.content or '' }}{% for c in m.tool_calls %}[{{ c['function']['name'] }} {{ ${given} }}]{% endfor %}`,
  );

describe('Arguments are handed over', () => {
  test('as an object where the template makes JSON of them, however it names them', async () => {
    for (const given of ["c['function']['arguments']|tojson", 'c.function.arguments | tojson']) {
      assert.equal((await ask(calling(given))).calls?.arguments, 'object', given);
    }
  });

  test('as text where the template joins them to its own, or would write them as Python does', async () => {
    for (const given of ["'' + c['function']['arguments']", 'c.function.arguments']) {
      assert.equal((await ask(calling(given))).calls?.arguments, 'text', given);
    }
  });

  test('not at all where the template writes no calls', async () => {
    assert.equal((await ask(each('{{ m.role }}:{{ m.content }}'))).calls, null);
  });
});

describe('A call without words has', () => {
  test('null for content where the template looks for that', async () => {
    const strict = each(
      "{% if m.role == 'assistant' and m.content is none %}{{ m.tool_calls[0].function | tojson }}{% else %}{{ m.content }}{% endif %}",
    );
    const { calls } = await ask(strict);
    assert.equal(calls?.emptyContent, null);
    assert.equal(calls?.besideText, false);
  });

  test("'' for content where the template would write None, or break", async () => {
    const open = (content: string) =>
      each(`{{ ${content} }}{% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}`);
    assert.equal((await ask(open('m.content'))).calls?.emptyContent, '');
    assert.equal((await ask(open("'' + m.content"))).calls?.emptyContent, '');
  });

  test('whichever does not bring an empty turn with it', async () => {
    const twice = each(
      '{% if m.tool_calls %}{{ m.tool_calls[0].function | tojson }}{% endif %}{% if m.content is not none %}<turn>{{ m.content }}</turn>{% endif %}',
    );
    assert.equal((await ask(twice)).calls?.emptyContent, null);
  });
});

test('calls go one by one where only the first of several would be seen, or several are refused', async () => {
  const first = each('{{ m.content }}{{ m.tool_calls[0].function | tojson if m.tool_calls }}');
  assert.equal((await ask(first)).calls?.parallel, false);
  const refusing = `${each("{% if m.tool_calls and m.tool_calls|length > 1 %}{{ raise_exception('one') }}{% endif %}")}${calling('c.function.arguments|tojson')}`;
  assert.equal((await ask(refusing)).calls?.parallel, false);
  assert.equal((await ask(calling('c.function.arguments|tojson'))).calls?.parallel, true);
});

describe('Tools are told', () => {
  const place = async (template: string) => (await ask(template)).tools;
  const plain = each('{{ m.content }}');

  test('where the template looks for them', async () => {
    assert.equal(await place(`{{ tools | tojson if tools }}${plain}`), 'tools');
    assert.equal(await place(`{% for t in xml_tools %}{{ t }}{% endfor %}${plain}`), 'xml_tools');
    const inSystem = each(
      "{{ m.content }}{% if m.tools %}{{ '<t>' + m.tools + '</t>' }}{% endif %}",
    );
    assert.equal(await place(inSystem), 'system');
    assert.equal(await place(`{{ 'Tools: ' + functions }}${plain}`), 'functions');
    const behind = `{% if messages[0].role == 'system' and tools %}{{ tools | tojson }}{% endif %}${plain}`;
    assert.equal(await place(behind), 'led');
  });

  test('in words where it looks nowhere, though its source names them', async () => {
    assert.equal(await place(`{# tools #}{% if tools and false %}{% endif %}${plain}`), 'words');
    assert.equal(
      await place(`{% if tools %}{{ raise_exception('none') }}{% endif %}${plain}`),
      'words',
    );
  });
});

test('system messages are shown anywhere, first only, or nowhere', async () => {
  const systems = async (template: string) => (await ask(template)).systems;
  assert.equal(await systems(each('{{ m.content }}')), 'anywhere');
  const first = each("{% if m.role != 'system' or loop.first %}{{ m.content }}{% endif %}");
  assert.equal(await systems(first), 'first');
  const last = `{% for m in messages %}{% if m.role == 'system' %}{% set s = m.content %}{% endif %}{% endfor %}${each("{% if m.role == 'user' %}{{ m.content }}{% endif %}")}`;
  assert.equal(await systems(last), 'none');
});

test('results are shown as such, and not as what the user or the assistant said', async () => {
  const results = async (template: string) => (await ask(template)).results;
  assert.equal(await results(each('<{{ m.role }}>{{ m.content }}')), 'text');
  const asUser = each("<{{ 'bot' if m.role == 'assistant' else 'user' }}>{{ m.content }}");
  assert.equal(await results(asUser), null);
  const asBot = each("<{{ 'user' if m.role == 'user' else 'bot' }}>{{ m.content }}");
  assert.equal(await results(asBot), null);
  assert.equal(await results(each('<{{ m.role }}>{{ m.content | tojson }}')), 'object');
});

test('thoughts go where the template looks for them', async () => {
  const reasoning = async (key: string) =>
    (await ask(each(`{{ m.${key} if m.${key} }}{{ m.content }}`))).reasoning;
  for (const key of ['reasoning_content', 'thinking', 'reasoning']) {
    assert.equal(await reasoning(key), key);
  }
  assert.equal((await ask(each('{{ m.content }}'))).reasoning, 'reasoning_content');
});

describe('A template is asked', () => {
  test('once, however many want to know at a time', async () => {
    const own = new TemplateRenderer();
    const render = own.render.bind(own);
    let renders = 0;
    own.render = (...all) => {
      renders += 1;
      return render(...all);
    };
    const request = { renderer: own, template: each('{{ m.content }}'), model };
    const [one, two] = await Promise.all([factsOf(request), factsOf(request)]);
    assert.equal(one, two);
    const asked = renders;
    assert.ok(asked > 0 && asked < 40);
    await factsOf(request);
    assert.equal(renders, asked);
    await own.close();
  });

  test('again where it took too long to say anything; its source is believed until then', async () => {
    const own = new TemplateRenderer({ timeoutMs: 1 });
    const slow = `{% for a in range(1000) %}{% for b in range(100) %}{{ a * b }}{% endfor %}{% endfor %}{{ tools }}`;
    const request = { renderer: own, template: slow, model };
    const first = await factsOf(request);
    assert.equal(first.tools, 'tools');
    assert.equal(first.systems, 'anywhere');
    assert.notEqual(await factsOf(request), first);
    await own.close();
  });
});
