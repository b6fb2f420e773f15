import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { readNpmConfig } from '../../src/install/npmrc.js';

const SCOPE = '@node-llama-cpp';
let home = '';
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'hoshikage-npmrc-'));
});
afterEach(() => rmSync(home, { recursive: true }));

/** Reads the configuration of a user with these files (below the home) and variables. */
function read(files: Readonly<Record<string, string>> = {}, env: NodeJS.ProcessEnv = {}) {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(home, name)), { recursive: true });
    writeFileSync(join(home, name), text);
  }
  const execPath = join(home, 'usr', 'bin', 'node');
  return readNpmConfig(SCOPE, { env, home, platform: 'linux', execPath });
}

test('without any configuration it is the public registry, without a key and a proxy', async () => {
  const config = await read();
  assert.equal(config.registry.href, 'https://registry.npmjs.org/');
  assert.equal(config.authorization(config.registry), null);
  assert.deepEqual(
    [config.httpProxy, config.httpsProxy, config.noProxy, config.ca, config.strictSsl],
    ['', '', '', null, true],
  );
});

test('variables stand before the user’s file, and that before the global one', async () => {
  const files = {
    '.npmrc': 'registry=https://user.example/npm\n',
    'usr/etc/npmrc': 'registry=https://global.example\nstrict-ssl=false\n',
  };
  const config = await read(files);
  assert.equal(config.registry.href, 'https://user.example/npm/');
  assert.equal(config.strictSsl, false);
  const env = { npm_config_registry: 'http://localhost:4873', NPM_CONFIG_STRICT_SSL: 'true' };
  const other = await read({}, env);
  assert.deepEqual([other.registry.href, other.strictSsl], ['http://localhost:4873/', true]);
});

test('the files can be elsewhere', async () => {
  const files = {
    'mine/rc': 'registry=https://mine.example/\nprefix=~/pre\n',
    'pre/etc/npmrc': 'noproxy=internal\n',
    'glob/rc': 'noproxy=other\n',
  };
  const env = { npm_config_userconfig: join(home, 'mine', 'rc') };
  const config = await read(files, env);
  assert.deepEqual([config.registry.host, config.noProxy], ['mine.example', 'internal']);
  const globalconfig = { ...env, npm_config_globalconfig: join(home, 'glob', 'rc') };
  assert.equal((await read({}, globalconfig)).noProxy, 'other');
});

test('the registry of the scope stands before the general one', async () => {
  const npmrc = 'registry=https://a.example/\n@node-llama-cpp:registry = https://b.example/\n';
  assert.equal((await read({ '.npmrc': npmrc })).registry.host, 'b.example');
  const env = { 'npm_config_@node-llama-cpp:registry': 'https://c.example/' };
  assert.equal((await read({}, env)).registry.host, 'c.example');
});

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: npm's own way to name a variable
test('a key is for its host and its path only', async () => {
  const password = Buffer.from('geheim').toString('base64');
  const npmrc = [
    'registry=http://localhost:4873/',
    '//localhost:4873/:_authToken="${TOKEN}"',
    '//a.example/team/:_authToken=team',
    '//a.example/:_auth=dXNlcjpwYXNz',
    `//b.example/:username=ich`,
    `//b.example/:_password=${password}`,
    '_authToken=nobody',
  ].join('\n');
  const { authorization } = await read({ '.npmrc': npmrc }, { TOKEN: 's3cret' });
  const keyOf = (url: string) => authorization(new URL(url));
  assert.equal(keyOf('http://localhost:4873/@node-llama-cpp%2flinux-x64'), 'Bearer s3cret');
  assert.equal(keyOf('https://a.example/team/x/y.tgz'), 'Bearer team');
  assert.equal(keyOf('https://a.example/teams/y.tgz'), 'Basic dXNlcjpwYXNz');
  const pair = Buffer.from('ich:geheim').toString('base64');
  assert.equal(keyOf('https://b.example/x'), `Basic ${pair}`);
  for (const url of ['http://localhost/x', 'http://localhost:4874/x', 'https://c.example/x']) {
    assert.equal(keyOf(url), null, url);
  }
});

test('a key never goes by plain http, but to a registry that is written down so', async () => {
  const keys = '//a.example/:_authToken=a\n//a.example:8080/:_authToken=a\n';
  for (const url of ['http://a.example/x.tgz', 'http://a.example:8080/x.tgz']) {
    const secure = await read({ '.npmrc': `registry=https://me:pass@a.example/\n${keys}` });
    assert.equal(secure.authorization(new URL(url)), null, url);
    assert.equal(secure.authorization(new URL('https://a.example/x.tgz')), 'Bearer a');
  }
  const plain = await read({ '.npmrc': `registry=http://a.example/\n${keys}` });
  assert.equal(plain.authorization(new URL('http://a.example/x.tgz')), 'Bearer a');
  assert.equal(plain.authorization(new URL('http://a.example:8080/x.tgz')), null);
});

test('a proxy that is no address is told by its name, without its value', async () => {
  const values = ['not a url', 'p4ss@host', 'socks5://me:p4ss@h:1', 'http://me:p4ss%zz@h:1', '4'];
  for (const value of values) {
    for (const key of ['proxy', 'https-proxy']) {
      const reading = read({ '.npmrc': `${key}=${value}\n` });
      await assert.rejects(reading, ({ message }: Error) => {
        assert.match(message, new RegExp(`^\`${key}\` is no`), value);
        assert.ok(!message.includes(value));
        return true;
      });
    }
  }
  rmSync(join(home, '.npmrc'));
  await assert.rejects(read({}, { HTTPS_PROXY: 'h:x' }), /https_proxy/);
  const off = await read({ '.npmrc': 'proxy=false\n' }, { http_proxy: 'http://p.example' });
  assert.deepEqual([off.httpProxy, off.httpsProxy], ['', '']);
});

test('a key without a host belongs to none', async () => {
  const config = await read({ '.npmrc': '_authToken=nobody\n_auth=bm9ib2R5\n' });
  assert.equal(config.authorization(config.registry), null);
});

test('an unset variable stays as it is written, and a marked one becomes nothing', async () => {
  const npmrc = '//a.example/:_authToken=${UNSET}\n//b.example/:_authToken=${UNSET?}\n';
  const { authorization } = await read({ '.npmrc': npmrc });
  assert.equal(authorization(new URL('https://a.example/')), 'Bearer ${UNSET}');
  assert.equal(authorization(new URL('https://b.example/')), null);
});

// biome-ignore-end lint/suspicious/noTemplateCurlyInString: npm's own way to name a variable

test('user and password in the address of the registry stay with it, and out of its address', async () => {
  const config = await read({ '.npmrc': 'registry=https://me:p%40ss@a.example/npm/\n' });
  assert.equal(config.registry.href, 'https://a.example/npm/');
  const pair = Buffer.from('me:p@ss').toString('base64');
  assert.equal(config.authorization(new URL('https://a.example/npm/x')), `Basic ${pair}`);
  assert.equal(config.authorization(new URL('https://b.example/npm/x')), null);
});

test('proxies come from npm’s keys or from the usual variables', async () => {
  const npmrc = 'proxy=http://p.example:1\nhttps-proxy=http://s.example:2\nnoproxy=a,b\n';
  const own = await read({ '.npmrc': npmrc }, { HTTPS_PROXY: 'http://other.example' });
  assert.deepEqual(
    [own.httpProxy, own.httpsProxy, own.noProxy],
    ['http://p.example:1', 'http://s.example:2', 'a,b'],
  );
  rmSync(join(home, '.npmrc'));
  const env = { HTTPS_PROXY: 'http://s.example', http_proxy: 'http://p.example', NO_PROXY: 'c' };
  const usual = await read({}, env);
  assert.deepEqual(
    [usual.httpProxy, usual.httpsProxy, usual.noProxy],
    ['http://p.example', 'http://s.example', 'c'],
  );
  const none = await read({ '.npmrc': 'proxy=null\nhttps-proxy=null\n' });
  assert.deepEqual([none.httpProxy, none.httpsProxy], ['', '']);
});

test('certificates come from cafile, one by one, or from ca', async () => {
  const one = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----';
  const two = one.replace('AAAA', 'BBBB');
  const files = { '.npmrc': 'cafile=~/ca.pem\n', 'ca.pem': `${one}\n${two}\n` };
  assert.deepEqual((await read(files)).ca, [one, two]);
  const inline = `ca[]="${one.replaceAll('\n', '\\n')}"\n`;
  assert.deepEqual((await read({ '.npmrc': inline })).ca, [one]);
  await assert.rejects(read({ '.npmrc': 'cafile=/no/such/file\n' }), /cafile.*\/no\/such\/file/);
});

test('a registry that is no address is an error that shows nothing of it', async () => {
  await assert.rejects(read({ '.npmrc': 'registry=not a url\n' }), /no URL/);
  await assert.rejects(
    read({ '.npmrc': 'registry=ftp://me:geheim@a.example/\n' }),
    (error: Error) => {
      return /a\.example/.test(error.message) && !/geheim/.test(error.message);
    },
  );
});
