/** Settings as a user meets them: where a value may stand, what wins, what is refused and how. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { inProject } from '../scripts/root.js';
import {
  type ConfigSources,
  checkBind,
  chooseLanguage,
  configPaths,
  createDirectories,
  examineConfig,
  isLoopback,
  loadConfig,
  proxiesOf,
} from '../src/config.js';
import { HoshikageError, words } from '../src/errors.js';
import { FORMER_NAMES, SETTINGS } from '../src/settings.js';

/** A user with an empty home; `file` is the text of the .env. */
function user(context: TestContext, file?: string): { home: string; sources: ConfigSources } {
  const home = mkdtempSync(join(tmpdir(), 'hoshikage-config-'));
  context.after(() => rmSync(home, { recursive: true, force: true }));
  if (file !== undefined) {
    mkdirSync(join(home, '.config', 'hoshikage'), { recursive: true });
    writeFileSync(join(home, '.config', 'hoshikage', '.env'), file);
  }
  return { home, sources: { env: {}, home, platform: 'linux', cwd: join(home, 'work') } };
}

function refusal(sources: ConfigSources): HoshikageError {
  try {
    loadConfig(sources);
  } catch (thrown) {
    assert(thrown instanceof HoshikageError);
    assert.equal(thrown.code, 'setting_invalid');
    return thrown;
  }
  return assert.fail('the settings were accepted');
}

describe('settings', () => {
  it('have the documented defaults where nothing is set', (context) => {
    const { home, sources } = user(context);
    const config = loadConfig(sources);
    const configDir = join(home, '.config', 'hoshikage');
    assert.equal(config.port, 3030);
    assert.equal(config.host, '127.0.0.1');
    assert.equal(config.idleTimeoutMs, 300_000);
    assert.equal(config.greatTimeoutMs, 3_600_000);
    assert.equal(config.queueTimeoutMs, 180_000);
    assert.equal(config.shutdownGraceMs, 30_000);
    assert.equal(config.nCtx, 4096);
    assert.equal(config.nGpuLayers, -1);
    assert.equal(config.nSlots, 1);
    assert.equal(config.temperature, 0.2);
    assert.equal(config.topP, 0.8);
    assert.equal(config.topK, 40);
    assert.equal(config.repeatPenalty, 1.1);
    assert.equal(config.repeatLastN, 64);
    assert.equal(config.maxTokens, 0);
    assert.equal(config.queueSize, 64);
    assert.equal(config.maxBodyBytes, 20 * 1024 * 1024);
    assert.equal(config.logKeepDays, 14);
    assert.equal(config.apiKey, null);
    assert.equal(config.ramdiskPath, '/dev/shm');
    assert.equal(config.libPath, null);
    assert.equal(config.modelDir, join(configDir, 'models'));
    assert.equal(config.modelMapFile, join(configDir, 'model_map.json'));
    assert.equal(config.cacheDir, join(home, '.cache', 'hoshikage'));
    assert.deepEqual(new Set(Object.values(config.origins)), new Set(['default']));
  });

  it('prefer a flag to the environment, that to the file, and that to the default', (context) => {
    const { sources } = user(context, 'PORT=1111\nHOST=10.0.0.1\nN_CTX=2048\n');
    const env = { PORT: '2222', HOST: '10.0.0.2' };
    const config = loadConfig({ ...sources, env, flags: { port: 3333 } });
    assert.deepEqual([config.port, config.host, config.nCtx], [3333, '10.0.0.2', 2048]);
    const { PORT, HOST, N_CTX, N_SLOTS } = config.origins;
    assert.deepEqual([PORT, HOST, N_CTX, N_SLOTS], ['flag', 'environment', 'file', 'default']);
  });

  it('take an empty value for unset, except where empty means off', (context) => {
    const { sources } = user(context, 'PORT=4000\nRAMDISK_PATH=/dev/shm\nAPI_KEY=secret\n');
    const config = loadConfig({ ...sources, env: { PORT: '', RAMDISK_PATH: '', API_KEY: '' } });
    assert.deepEqual([config.port, config.ramdiskPath, config.apiKey], [4000, null, 'secret']);
    assert.equal(config.origins.RAMDISK_PATH, 'environment');
  });

  it('are read from the file HOSHIKAGE_CONFIG_PATH names, instead of the usual one', (context) => {
    const { home, sources } = user(context, 'PORT=1111\nN_CTX=512\n');
    writeFileSync(join(home, 'other.env'), 'PORT=2222\nMODEL_DIR=here\n');
    const config = loadConfig({ ...sources, env: { HOSHIKAGE_CONFIG_PATH: '~/other.env' } });
    assert.deepEqual([config.port, config.nCtx], [2222, 4096]);
    assert.equal(config.modelDir, join(home, 'here'));
  });

  it('refuse to start when the named file does not exist', (context) => {
    const { sources } = user(context);
    const error = refusal({ ...sources, env: { HOSHIKAGE_CONFIG_PATH: '/nowhere/my.env' } });
    assert.match(error.message, /HOSHIKAGE_CONFIG_PATH/);
    assert.match(error.message, /\/nowhere\/my\.env/);
    assert.match(error.message, /\(from the environment\)/);
  });

  it('refuse a file that is not UTF-8 text', (context) => {
    const { home, sources } = user(context);
    writeFileSync(join(home, 'utf16.env'), Buffer.from('\ufeffPORT=1\n', 'utf16le'));
    refusal({ ...sources, env: { HOSHIKAGE_CONFIG_PATH: join(home, 'utf16.env') } });
  });

  it('may be quoted, commented and preceded by a byte order mark', (context) => {
    const { sources } = user(
      context,
      '\ufeffPORT = "4000" # mine\r\n# N_CTX=1\nexport N_BATCH=64\n',
    );
    const config = loadConfig(sources);
    assert.deepEqual([config.port, config.nCtx, config.nBatch], [4000, 4096, 64]);
  });

  it('expand ~ and start relative paths where they are written', (context) => {
    const { home, sources } = user(context, 'MODEL_DIR=gguf\nLOG_FILE_PATH=~/logs/h.log\n');
    const env = { HOSHIKAGE_LIB_PATH: './lib' };
    const config = loadConfig({ ...sources, env });
    assert.equal(config.modelDir, join(home, '.config', 'hoshikage', 'gguf'));
    assert.equal(config.logFilePath, join(home, 'logs', 'h.log'));
    assert.equal(config.libPath, join(home, 'work', 'lib'));
  });

  it('keep seconds and minutes, fractions included, as whole milliseconds', (context) => {
    const { sources } = user(context);
    const env = { IDLE_TIMEOUT: '0.5', GREAT_TIMEOUT: '1.5', SHUTDOWN_GRACE: '0' };
    const config = loadConfig({ ...sources, env });
    assert.equal(config.idleTimeoutMs, 500);
    assert.equal(config.greatTimeoutMs, 90_000);
    assert.equal(config.shutdownGraceMs, 0);
  });

  it('turn lists, switches and optional values into what they mean', (context) => {
    const { sources } = user(context);
    const env = {
      ALLOWED_HOSTS: 'star.local, NAS',
      CORS_ORIGINS: 'http://localhost:5173/, app://obsidian.md',
      TENSOR_SPLIT: '3,1',
      MAIN_GPU: '1',
      USE_MMAP: 'off',
      FLASH_ATTN: 'ON',
      ROPE_SCALING: 'yarn',
      HOST: '[::1]',
    };
    const config = loadConfig({ ...sources, env });
    assert.deepEqual(config.allowedHosts, ['star.local', 'nas']);
    assert.deepEqual(config.corsOrigins, ['http://localhost:5173', 'app://obsidian.md']);
    assert.deepEqual(config.tensorSplit, [3, 1]);
    assert.equal(config.mainGpu, 1);
    assert.equal(config.useMmap, false);
    assert.equal(config.flashAttn, 'on');
    assert.equal(config.ropeScaling, 'yarn');
    assert.equal(config.host, '::1');
  });

  it('are frozen, lists included', (context) => {
    const { sources } = user(context);
    const config = loadConfig({ ...sources, env: { ALLOWED_HOSTS: 'nas' } });
    for (const part of [config, config.allowedHosts, config.origins, config.engineEnvironment]) {
      assert(Object.isFrozen(part));
    }
  });
});

describe('a bad value', () => {
  it('names key, value and source in both languages', (context) => {
    const { home, sources } = user(context, 'N_CTX=viele\n');
    const error = refusal(sources);
    for (const language of ['ja', 'en'] as const) {
      const text = words(error.code, language, error.details);
      assert(text.includes('N_CTX') && text.includes('viele'), text);
      assert(text.includes(join(home, '.config', 'hoshikage', '.env')), text);
    }
    assert.match(words(error.code, 'ja', error.details), /整数/);
  });

  it('of a flag and of the environment is said to come from there', (context) => {
    const { sources } = user(context);
    assert.match(refusal({ ...sources, flags: { port: 'abc' } }).message, /--port/);
    assert.match(refusal({ ...sources, env: { PORT: '70000' } }).message, /the environment/);
  });

  const BAD: readonly (readonly [string, string])[] = [
    ['PORT', '-1'],
    ['PORT', '1e3'],
    ['PORT', '3030 3031'],
    ['HOST', 'http://localhost'],
    ['HOST', 'localhost:80'],
    ['API_KEY', 'two words'],
    ['ALLOW_INSECURE_BIND', 'maybe'],
    ['CORS_ORIGINS', 'localhost'],
    ['CORS_ORIGINS', 'http://a/path'],
    ['ALLOWED_HOSTS', 'a,,b'],
    ['LOG_LEVEL', 'loud'],
    ['IDLE_TIMEOUT', '-1'],
    ['IDLE_TIMEOUT', '99999999'],
    ['QUEUE_TIMEOUT', '0'],
    ['N_CTX', '4096.5'],
    ['N_CTX', '0x1000'],
    ['N_SLOTS', '0'],
    ['N_SLOTS', 'many'],
    ['MAX_STALL_MS', '9'],
    ['SPECULATION', 'on'],
    ['N_DRAFT', '65'],
    ['DRAFT_MODEL', 'a\0b'],
    ['TEMPERATURE', 'NaN'],
    ['TOP_P', '1.01'],
    ['REPEAT_PENALTY', '0'],
    ['TENSOR_SPLIT', '0,0'],
    ['CACHE_TYPE_K', 'q9_0'],
    ['MODEL_DIR', 'a\0b'],
    ['HF_ENDPOINT', 'hub.example'],
    ['HF_ENDPOINT', 'ftp://hub.example'],
    ['HF_ENDPOINT', 'https://me:secret@hub.example'],
    ['HF_ENDPOINT', 'https://hub.example/?a=b'],
    ['HF_TOKEN', 'two words'],
  ];
  for (const [key, value] of BAD) {
    it(`stops the start: ${key}=${JSON.stringify(value)}`, (context) => {
      const { sources } = user(context);
      assert.equal(refusal({ ...sources, env: { [key]: value } }).details.key, key);
    });
  }

  it('of a secret is not shown', (context) => {
    const { sources } = user(context);
    const error = refusal({ ...sources, env: { API_KEY: 'hush hush' } });
    assert(!JSON.stringify([error.message, error.details]).includes('hush'));
    const { texts } = examineConfig({ ...sources, env: { HF_TOKEN: 'hf_hush' } });
    assert.equal(texts.HF_TOKEN, '***');
  });

  it('of a proxy is told by its name alone', () => {
    for (const value of ['socks5://me:hush@host:1', 'http://', 'file:///hush']) {
      assert.throws(
        () => proxiesOf({ engineEnvironment: {} }, { https_proxy: value }),
        (error: Error & { details?: object }) => {
          assert.match(error.message, /HTTPS_PROXY/);
          return !JSON.stringify([error.message, error.details]).includes('hush');
        },
      );
    }
  });
});

describe('how to reach others', () => {
  it('is said by the hub’s address, without a slash at its end', (context) => {
    const { sources } = user(context);
    assert.equal(loadConfig(sources).hubEndpoint, 'https://huggingface.co');
    const env = { HF_ENDPOINT: 'HTTP://Mirror.Example:80/hf//' };
    assert.equal(loadConfig({ ...sources, env }).hubEndpoint, 'http://mirror.example/hf');
  });

  it('is said by the proxy variables of the environment, else of the .env file', (context) => {
    const { sources } = user(context, 'HTTPS_PROXY=http://from.file:1\nno_proxy=a.example\n');
    const config = loadConfig(sources);
    assert.deepEqual(proxiesOf(config, {}), {
      httpProxy: '',
      httpsProxy: 'http://from.file:1',
      noProxy: 'a.example',
    });
    assert.deepEqual(proxiesOf(config, { HTTPS_PROXY: 'env.example:2', NO_PROXY: '*' }), {
      httpProxy: '',
      httpsProxy: 'http://env.example:2',
      noProxy: '*',
    });
    assert.deepEqual(proxiesOf({ engineEnvironment: {} }, { http_proxy: 'http://one:1' }), {
      httpProxy: 'http://one:1',
      httpsProxy: 'http://one:1',
      noProxy: '',
    });
  });
});

describe('names that are no settings', () => {
  it('go to the engine process, unless the environment has them already', (context) => {
    const file = 'LD_LIBRARY_PATH=/opt/lib\nCUDA_VISIBLE_DEVICES=1\nPORT=1\nRAMDISK_SIZE=12\n';
    const { sources } = user(context, file);
    const config = loadConfig({ ...sources, env: { CUDA_VISIBLE_DEVICES: '0' } });
    assert.deepEqual(config.engineEnvironment, { LD_LIBRARY_PATH: '/opt/lib' });
  });

  for (const [name, successor] of Object.entries(FORMER_NAMES)) {
    it(`give a hint when they are former ones: ${name}`, (context) => {
      const { sources } = user(context);
      const { hints } = loadConfig({ ...sources, env: { [name]: '1' } });
      assert.equal(hints.length, 1);
      assert(hints[0]?.includes(name));
      if (successor) assert(hints[0]?.includes(`use ${successor}`));
    });
  }

  it('give a hint when they look like a typing error', (context) => {
    const { sources } = user(context, 'N_CTXX=1\nCUDA_VISIBLE_DEVICES=0\n');
    const { hints } = loadConfig(sources);
    assert.equal(hints.length, 1);
    assert.match(hints[0] ?? '', /did you mean N_CTX\?/);
    const swapped = loadConfig(user(context, 'PROT=8080\n').sources);
    assert.match(swapped.hints.join('\n'), /^PROT .*PROT: did you mean PORT\?$/);
  });

  it('give a hint for each line of the file that assigns nothing, by its number only', (context) => {
    const text = [
      '# a remark',
      'PORT=3031 # another',
      'API_KEY secret-text',
      '',
      'NOTE="two lines,',
      'no setting among them"',
      'export HOST = 127.0.0.1',
      "QUOTE='never closed",
      'this is not a setting',
    ];
    const { sources } = user(context, `${text.join('\r\n')}\r\n`);
    const { hints } = loadConfig(sources);
    const numbers = hints.map((hint) => / line (\d+):/.exec(hint)?.[1]);
    assert.deepEqual(numbers, ['3', '9']);
    assert.doesNotMatch(hints.join('\n'), /secret-text/);
  });
});

describe('places', () => {
  it('follow XDG on Linux and macOS, ignoring relative values', () => {
    const env = { XDG_CONFIG_HOME: '/c', XDG_CACHE_HOME: 'relative' };
    const paths = configPaths({ env, home: '/home/h', platform: 'linux' });
    assert.equal(paths.configDir, '/c/hoshikage');
    assert.equal(paths.envFile, '/c/hoshikage/.env');
    assert.equal(paths.runFile, '/c/hoshikage/run.json');
    assert.equal(paths.libDir, '/c/hoshikage/lib');
    assert.equal(paths.cacheDir, '/home/h/.cache/hoshikage');
  });

  it('follow APPDATA and LOCALAPPDATA on Windows', () => {
    const env = { APPDATA: 'C:\\Users\\h\\AppData\\Roaming' };
    const paths = configPaths({ env, home: 'C:\\Users\\h', platform: 'win32' });
    assert.equal(paths.configDir, 'C:\\Users\\h\\AppData\\Roaming\\hoshikage');
    assert.equal(paths.cacheDir, 'C:\\Users\\h\\AppData\\Local\\hoshikage');
  });

  it('are created for the server', (context) => {
    const { home, sources } = user(context);
    const env = { LOG_FILE_PATH: '~/logs/deep/h.log', MODEL_MAP_FILE: '~/maps/m.json' };
    const config = loadConfig({ ...sources, env });
    createDirectories(config);
    const made = [config.configDir, config.libDir, config.modelDir, config.cacheDir];
    for (const path of [...made, join(home, 'logs', 'deep'), join(home, 'maps')]) {
      assert(existsSync(path), path);
    }
  });

  it('that cannot be created name their setting', (context) => {
    const { home, sources } = user(context);
    writeFileSync(join(home, 'file'), '');
    const config = loadConfig({ ...sources, env: { MODEL_DIR: '~/file/models' } });
    assert.throws(() => createDirectories(config), { code: 'setting_invalid' });
  });
});

describe('the language', () => {
  it('is what --lang says, else the locale, else English', () => {
    const of = (env: NodeJS.ProcessEnv, lang?: string) =>
      chooseLanguage({ env, platform: 'linux', flags: { lang } });
    assert.equal(of({ LANG: 'ja_JP.UTF-8' }), 'ja');
    assert.equal(of({ LANG: 'ja_JP.UTF-8', LC_ALL: 'C' }), 'en');
    assert.equal(of({ LANG: 'de_DE.UTF-8' }), 'en');
    assert.equal(of({}), 'en');
    assert.equal(of({ LANG: 'ja_JP.UTF-8' }, 'en'), 'en');
  });
});

describe('an address that others can reach', () => {
  it('wants a key, or the word that none is meant', (context) => {
    const { sources } = user(context);
    const check = (env: NodeJS.ProcessEnv) => checkBind(loadConfig({ ...sources, env }));
    assert.throws(() => check({ HOST: '0.0.0.0' }), { code: 'insecure_bind' });
    assert.throws(() => check({ HOST: '::' }), { code: 'insecure_bind' });
    check({ HOST: '0.0.0.0', API_KEY: 'k' });
    check({ HOST: '0.0.0.0', ALLOW_INSECURE_BIND: '1' });
    check({ HOST: 'localhost' });
  });

  it('is any that is not loopback', () => {
    for (const host of ['localhost', '127.0.0.1', '127.8.8.8', '::1']) assert(isLoopback(host));
    for (const host of ['127.0.0.1.nip.io', '0.0.0.0', '10.0.0.1', '::']) assert(!isLoopback(host));
  });
});

describe('.env.example', () => {
  it('lists every setting with its default, and nothing else', () => {
    const text = readFileSync(inProject('.env.example'), 'utf8');
    const lines = [...text.matchAll(/^#([A-Z][A-Z0-9_]*)=(.*)$/gm)];
    assert.deepEqual(
      lines.map(([, key, value]) => [key, value]),
      SETTINGS.map((setting) => [setting.key, setting.default]),
    );
  });

  it('describes every setting in both languages, as the table does', () => {
    const text = readFileSync(inProject('.env.example'), 'utf8');
    for (const { key, ja, en } of SETTINGS) {
      assert(text.includes(`# ${ja}\n# ${en}\n#${key}=`), key);
    }
  });

  it('sets what it shows when every line is made active', (context) => {
    const example = readFileSync(inProject('.env.example'), 'utf8');
    const { home, sources } = user(context);
    const { origins: _, ...defaults } = loadConfig(sources);
    mkdirSync(join(home, '.config', 'hoshikage'), { recursive: true });
    const all = example.replace(/^#(?=[A-Z][A-Z0-9_]*=)/gm, '');
    writeFileSync(join(home, '.config', 'hoshikage', '.env'), all);
    const { origins, ...active } = loadConfig(sources);
    assert.equal(origins.PORT, 'file');
    assert.deepEqual(active, defaults);
  });
});
