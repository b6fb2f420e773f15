/** Machines of all kinds, and what the doctor says of each. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { CHECKS, type CheckId, type CheckState } from '../../src/doctor/check.js';
import { judge } from '../../src/doctor/doctor.js';
import type { Device } from '../../src/engine/engine.js';
import { HoshikageError } from '../../src/errors.js';
import { writeElf } from '../helpers/elf-file.js';
import { ggufBytes, smallGguf } from '../helpers/gguf-bytes.js';
import { CPU_DEVICE, examined, type PatientOptions } from '../helpers/patient.js';

const GPU: Device = { ...CPU_DEVICE, name: 'CUDA0', description: 'A GPU', type: 'gpu' };
const NVIDIA_DRIVER = {
  '/proc/driver/nvidia/version': 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14\n',
  '/dev/nvidia0': '',
  '/usr/lib/x86_64-linux-gnu/libcuda.so.1': '',
};

/** The states of some checks. */
async function states(options: PatientOptions, ...ids: CheckId[]): Promise<CheckState[]> {
  const results = await examined(options);
  return ids.map((id) => results.get(id)?.state ?? 'skipped');
}

/** One check, which is not what it should be. */
async function trouble(options: PatientOptions, id: CheckId, state: CheckState = 'broken') {
  const results = await examined(options);
  const result = results.get(id);
  assert(result);
  assert.equal(result.state, state, result.detail.en);
  return { ...result, all: results };
}

/** A user with files of their own below a real home. */
function home(context: TestContext, files: Readonly<Record<string, string | Buffer>> = {}): string {
  const path = mkdtempSync(join(tmpdir(), 'hoshikage-doctor-'));
  context.after(() => rmSync(path, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(path, '.config/hoshikage', name, '..'), { recursive: true });
    writeFileSync(join(path, '.config/hoshikage', name), content);
  }
  return path;
}

describe('the doctor', () => {
  it('finds nothing broken on a sound machine without a GPU, and says something of every check', async () => {
    const results = await examined();
    const { ok } = judge([...results.values()]);
    const broken = [...results.values()].filter(({ state }) => state === 'broken');
    assert.deepEqual(
      broken.map(({ id, detail }) => `${id}: ${detail.en}`),
      [],
    );
    assert.equal(ok, true);
    const expected = Object.keys(CHECKS).filter((id) => id !== 'accelerators.metal');
    assert.deepEqual([...results.keys()], expected);
    for (const { detail } of results.values()) assert(detail.ja !== '' && detail.en !== '');
  });

  it('says which Node.js is needed', async () => {
    for (const nodeVersion of ['18.20.1', '20.18.3', '21.7.3', '22.11.0']) {
      const { remedy } = await trouble({ machine: { nodeVersion } }, 'runtime.node');
      assert.match(remedy?.en ?? '', /Install Node\.js 20\.19\.0, 22\.12\.0, 23 or newer/);
    }
    for (const nodeVersion of ['20.19.0', '20.20.2', '22.12.0', '23.0.0', '26.10.0']) {
      assert.deepEqual(await states({ machine: { nodeVersion } }, 'runtime.node'), ['ok']);
    }
  });

  it('warns of musl, where the packaged library cannot be used', async () => {
    const options = { machine: { glibc: () => null } };
    const { remedy } = await trouble(options, 'runtime.libc', 'warning');
    assert.match(remedy?.en ?? '', /Alpine: apk add/);
  });

  it('names what an addon that cannot be loaded lacks', async () => {
    const stderr = "x.node:1\nError: /lib/libm.so.6: version `GLIBC_2.38' not found\n  at Module";
    const run = async () => ({ code: 1, stdout: '', stderr });
    const { detail, remedy } = await trouble({ machine: { run } }, 'addon.load');
    assert.match(detail.en, /version `GLIBC_2\.38' not found$/);
    assert.match(remedy?.en ?? '', /npm run build:native/);
  });
});

describe('the doctor, of the library', () => {
  const refused = (reason: string, code: 'library_incompatible' | 'library_not_found') => ({
    identity: null,
    error: new HoshikageError(code, { reason }),
  });

  it('says at which stage it was refused, and that the later ones were not reached', async () => {
    const reason = 'llama_context_params has an unknown layout (168 bytes written)';
    const { detail, all } = await trouble(
      { library: refused(reason, 'library_incompatible') },
      'library.layout',
    );
    assert.match(detail.ja, /この libllama は使えません: llama_context_params/);
    assert.equal(all.get('library.symbols')?.state, 'ok');
    assert.equal(all.get('library.batch')?.state, 'skipped');
    assert.equal(all.get('accelerators.use')?.state, 'skipped');
  });

  it('tells what to do by where the library comes from', async () => {
    const library = refused('cannot open it', 'library_not_found');
    const remedy = async (options: PatientOptions) =>
      (await trouble(options, 'library.open')).remedy?.en;
    assert.match((await remedy({ library })) ?? '', /npm ci/);
    assert.match((await remedy({ library: { ...library, origin: 'active' } })) ?? '', /rollback/);
    assert.match(
      (await remedy({ library: { ...library, origin: 'config' } })) ?? '',
      /hoshikage\/lib/,
    );
    const env = { HOSHIKAGE_LIB_PATH: '/mine' };
    assert.match((await remedy({ library, env })) ?? '', /remove HOSHIKAGE_LIB_PATH/);
  });

  it('says that there is none', async () => {
    const library = { path: null, origin: null, ...refused('nothing', 'library_not_found') };
    const { all } = await trouble({ library }, 'library.search');
    assert.equal(all.get('library.layout')?.state, 'skipped');
  });

  it('compares the C libraries that it needs with those that are here', async () => {
    const library = { needs: { GLIBC: '2.38', GLIBCXX: '3.4.9', CXXABI: '1.3' } };
    const files = { '/lib/libstdc++.so.6': '\0GLIBCXX_3.4.9\0GLIBCXX_3.4.30\0' };
    const machine = { loaded: () => '/lib/libstdc++.so.6' };
    const { detail } = await trouble({ library, files, machine }, 'library.needs');
    assert.match(detail.en, /GLIBC_2\.38 > 2\.36/);
    const newer = { ...machine, glibc: () => '2.39' };
    const { all } = await trouble({ library, files, machine: newer }, 'library.needs', 'ok');
    assert.equal(all.get('library.needs')?.detail.en, 'GLIBC 2.38 ≤ 2.39, GLIBCXX 3.4.9 ≤ 3.4.30');
  });

  it('warns of the minimal mode, and calls a library without devices broken', async () => {
    const { detail } = await trouble({ identity: { minimal: true } }, 'library.mode', 'warning');
    assert.match(detail.en, /^Minimal mode/);
    await trouble({ identity: { devices: [] } }, 'library.devices');
  });
});

describe('the doctor, of GPUs', () => {
  it('offers the build for a driver that the CPU build leaves idle', async () => {
    const { remedy, all } = await trouble({ files: NVIDIA_DRIVER }, 'accelerators.use', 'warning');
    assert.match(remedy?.en ?? '', /npx hoshikage lib install cuda/);
    assert.match(all.get('accelerators.cuda')?.detail.en ?? '', /NVIDIA driver 550\.54\.14/);
  });

  it('is content with a GPU that is used, and with one that is not wanted', async () => {
    const used = { files: NVIDIA_DRIVER, identity: { devices: [CPU_DEVICE, GPU] } };
    assert.deepEqual(await states(used, 'accelerators.use'), ['ok']);
    const unwanted = { files: NVIDIA_DRIVER, env: { N_GPU_LAYERS: '0' } };
    assert.deepEqual(await states(unwanted, 'accelerators.use'), ['ok']);
  });

  it('says that N_GPU_LAYERS has no effect where there is no GPU', async () => {
    const options = { env: { N_GPU_LAYERS: '20' } };
    const { detail } = await trouble(options, 'accelerators.use', 'warning');
    assert.match(detail.en, /^N_GPU_LAYERS=20 has no effect/);
  });

  it('warns of half a driver, and of a device that this user may not open', async () => {
    const half = { '/proc/driver/nvidia/version': 'NVRM version: 550.54.14' };
    const { remedy } = await trouble({ files: half }, 'accelerators.cuda', 'warning');
    assert.match(remedy?.en ?? '', /libcuda1/);
    const files = { '/dev/dri/renderD128': '', '/usr/lib/libvulkan.so.1': '' };
    const machine = { writable: async (path: string) => !path.startsWith('/dev/') };
    const closed = await trouble({ files, machine }, 'accelerators.vulkan', 'warning');
    assert.match(closed.remedy?.ja ?? '', /usermod -aG render/);
  });

  it('names what a CUDA build lacks, and how to get it', async (context) => {
    const directory = home(context);
    const needed = ['libcudart.so.12', 'libcublas.so.12', 'libcuda.so.1', 'libggml-base.so'];
    writeElf(join(directory, 'libggml-cuda.so'), needed);
    const files = { [`${directory}/libggml-cuda.so`]: '', [`${directory}/libggml-base.so`]: '' };
    const library = { path: `${directory}/libllama.so` };
    const { detail, remedy } = await trouble({ files, library }, 'accelerators.files');
    assert.match(
      detail.en,
      /^libggml-cuda\.so needs libcublas\.so\.12, libcuda\.so\.1, libcudart\.so\.12: not found/,
    );
    assert.match(remedy?.en ?? '', /runtime libraries, version 12 .*; Install the NVIDIA driver/);
    assert.equal(remedy?.en.match(/version 12/g)?.length, 1, 'one remedy for both');

    const hidden = {
      '/usr/local/cuda-12.8/lib64/libcudart.so.12': '',
      '/usr/local/cuda-12.8/lib64/libcublas.so.12': '',
    };
    const untold = { files: { ...files, ...NVIDIA_DRIVER, ...hidden }, library };
    const told = await trouble(untold, 'accelerators.files');
    assert.match(
      told.remedy?.en ?? '',
      /^Write LD_LIBRARY_PATH=\/usr\/local\/cuda-12\.8\/lib64 into/,
    );

    const toolkit = { '/cuda/libcudart.so.12': '', '/cuda/libcublas.so.12': '' };
    const whole = { ...files, ...NVIDIA_DRIVER, ...toolkit };
    const env = { LD_LIBRARY_PATH: '/cuda' };
    const { all } = await trouble({ files: whole, library, env }, 'accelerators.files', 'ok');
    const use = all.get('accelerators.use');
    assert.deepEqual([use?.state, use?.detail.en.includes('no GPU is seen')], ['warning', true]);
  });

  it('looks for Metal on a Mac, and for nothing else', async () => {
    const machine = { platform: 'darwin', arch: 'arm64', glibc: () => null } as const;
    const results = await examined({ machine });
    assert.equal(results.get('accelerators.metal')?.state, 'ok');
    assert.equal(results.has('accelerators.cuda'), false);
    assert.equal(results.has('runtime.libc'), false);
  });
});

describe('the doctor, of settings and places', () => {
  it('reports every wrong value and goes on with the defaults', async () => {
    const env = { PORT: 'many', N_CTX: '-1' };
    const { detail, all } = await trouble({ env }, 'config.settings');
    assert.match(detail.en, /"many" for the setting PORT.* \/ .*"-1" for the setting N_CTX/);
    assert.equal(all.get('server.port')?.state, 'ok');
  });

  it('names each setting with its origin, and no secret', async () => {
    const env = { API_KEY: 'not-to-be-shown', PORT: '8080' };
    const { detail } = await trouble({ env }, 'config.settings', 'ok');
    assert.equal(detail.en, 'PORT=8080 (environment), API_KEY=*** (environment)');
  });

  it('passes on the remarks on names and lines, each in its language', async (context) => {
    const options = { home: home(context, { '.env': 'PRT=1\n' }) };
    const { detail } = await trouble(options, 'config.hints', 'warning');
    assert.equal(detail.en, 'PRT: did you mean PORT?');
    assert.match(detail.ja, /^PRT は PORT の誤りではありませんか$/);
  });

  it('warns of a token that others can read', async () => {
    const facts = async (path: string) =>
      path.endsWith('run.json')
        ? ({ kind: 'file', mode: 0o644, sizeBytes: 1 } as const)
        : ({ kind: 'directory', mode: 0o755, sizeBytes: 0 } as const);
    const { remedy } = await trouble({ machine: { facts } }, 'config.permissions', 'warning');
    assert.equal(remedy?.en, 'chmod 600 ~/.config/hoshikage/run.json');
  });

  it('names directories that cannot be written, with their settings', async () => {
    const machine = { writable: async () => false };
    const { remedy } = await trouble({ machine }, 'storage.directories');
    assert.match(remedy?.en ?? '', /XDG_CONFIG_HOME, XDG_CACHE_HOME/);
  });

  it('tells little space from none', async () => {
    const machine = (freeBytes: number) => ({
      space: async () => ({ freeBytes, totalBytes: 100 * 1024 ** 3 }),
    });
    const id = 'storage.space';
    assert.deepEqual(await states({ machine: machine(500 * 1024 ** 2) }, id), ['warning']);
    assert.deepEqual(await states({ machine: machine(1024) }, id), ['broken']);
  });

  it('looks at the RAM disk that is set', async () => {
    const there = { env: { RAMDISK_PATH: '/dev/shm' }, files: { '/dev/shm/x': '' } };
    assert.deepEqual(await states(there, 'storage.ramdisk'), ['ok']);
    const gone = { env: { RAMDISK_PATH: '/nowhere' } };
    assert.deepEqual(await states(gone, 'storage.ramdisk'), ['warning']);
    const locked = { ...there, machine: { writable: async (path: string) => path !== '/dev/shm' } };
    const { remedy } = await trouble(locked, 'storage.ramdisk', 'warning');
    assert.match(remedy?.en ?? '', /Models are read from their own files/);
    const off = { ...there, env: { RAMDISK_MODE: 'off' } };
    const [why, elsewhere] = [
      await trouble(off, 'storage.ramdisk', 'skipped'),
      await trouble({ machine: { platform: 'darwin' } }, 'storage.ramdisk', 'skipped'),
    ];
    assert.equal(why.detail.en, 'Not used (RAMDISK_MODE=off)');
    assert.equal(elsewhere.detail.en, 'Not used (this is not Linux)');
  });

  it('looks where conversations are kept while their model is gone', async () => {
    const memory = { files: { '/dev/shm/x': '' } };
    const { detail } = await trouble(memory, 'storage.states', 'ok');
    assert.match(detail.en, /^\/dev\/shm \(50\.0 GiB free, up to 1\.0 GiB\)$/);
    assert.deepEqual(await states({}, 'storage.states'), ['skipped']);
    const off = { ...memory, env: { STATE_CACHE_BYTES: '0' } };
    assert.deepEqual(await states(off, 'storage.states'), ['skipped']);
    const env = { STATE_DIR: '/data/states' };
    const named = { env, files: { '/data/x': '' } };
    assert.deepEqual(await states(named, 'storage.states'), ['ok']);
    const locked = { ...named, machine: { writable: async (path: string) => path !== '/data' } };
    const { remedy } = await trouble(locked, 'storage.states', 'warning');
    assert.match(remedy?.en ?? '', /choose another STATE_DIR/);
    const below = { env: { STATE_DIR: '/etc/hostname/x' }, files: { '/etc/hostname': 'one' } };
    assert.deepEqual(await states(below, 'storage.states'), ['warning']);
    // As /proc has it, where nothing can be put, and a disk that is full.
    const space = async () => ({ freeBytes: 0, totalBytes: 0 });
    for (const options of [named, memory]) {
      const full = await trouble({ ...options, machine: { space } }, 'storage.states', 'warning');
      assert.match(full.detail.en, /^No room in /);
      assert.match(full.remedy?.en ?? '', /STATE_DIR/);
    }
  });
});

describe('the doctor, of models', () => {
  it('leaves a broken map alone and says where it is broken', async (context) => {
    const options = { home: home(context, { 'model_map.json': '{"a": ' }) };
    const { detail, all } = await trouble(options, 'models.map');
    assert.match(detail.en, /model map cannot be read/);
    assert.equal(all.get('models.files')?.state, 'skipped');
  });

  it('names the models whose files are gone or damaged, and how to take one out', async (context) => {
    const path = home(context);
    const models = {
      good: ggufBytes(smallGguf()).file,
      torn: ggufBytes(smallGguf()).file.subarray(0, 100),
    };
    mkdirSync(join(path, '.config/hoshikage'), { recursive: true });
    for (const [name, bytes] of Object.entries(models)) {
      writeFileSync(join(path, `${name}.gguf`), bytes);
    }
    const entry = (model: string) => ({ path, model, stop: [] });
    const map = { good: entry('good.gguf'), torn: entry('torn.gguf'), 'a b': entry('gone.gguf') };
    writeFileSync(join(path, '.config/hoshikage/model_map.json'), JSON.stringify(map));
    const { detail, remedy } = await trouble({ home: path }, 'models.files');
    assert.match(detail.en, /torn: Not a sound GGUF file.*a b: The model file does not exist/);
    assert.doesNotMatch(detail.en, /good/);
    assert.match(remedy?.en ?? '', /npx hoshikage rm torn\)/);
  });

  it('counts what lies in MODEL_DIR', async (context) => {
    const files = { 'models/one.gguf': ggufBytes(smallGguf()).file, 'models/two.gguf': 'no' };
    const options = { home: home(context, files) };
    const { detail } = await trouble(options, 'models.directory', 'warning');
    assert.match(detail.en, /^2 in .*; not usable: two$/);
  });
});

describe('the doctor, of the server', () => {
  const status = { version: '0.1.0', library: { error: null }, model: { id: 'cat' } };
  const ours = async () => ({ pid: 1, host: '127.0.0.1', port: 3030, status, refused: false });

  it('tells our own server on the port from another program', async () => {
    const listen = async () => 'EADDRINUSE';
    const { all } = await trouble({ server: ours, machine: { listen } }, 'server.port', 'ok');
    assert.match(all.get('server.running')?.detail.en ?? '', /model in memory: cat/);
    const { remedy } = await trouble({ machine: { listen } }, 'server.port');
    assert.match(remedy?.en ?? '', /PORT=3031/);
  });

  it('passes on what the server itself says is wrong', async () => {
    const message = '使えません / It cannot be used';
    const server = async () => ({ ...(await ours()), status: { library: { error: { message } } } });
    const { detail } = await trouble({ server }, 'server.running');
    assert.match(detail.en, /使えません \/ It cannot be used$/);
  });

  it('warns of models that are held back for their crashes, and says how to try them again', async () => {
    const held = [
      { model: 'a cat', crashes: 3 },
      { model: 'dog', crashes: 3 },
    ];
    const server = async () => ({ ...(await ours()), status: { ...status, held } });
    const { detail, remedy } = await trouble({ server }, 'server.running', 'warning');
    assert.match(detail.en, /held back.*: a cat, dog$/);
    assert.match(remedy?.en ?? '', /^npx hoshikage load 'a cat' /);
    const none = async () => ({ ...(await ours()), status: { ...status, held: [] } });
    assert.deepEqual(await states({ server: none }, 'server.running'), ['ok']);
  });

  it('warns of a server that does not answer', async () => {
    const server = async () => ({ ...(await ours()), status: null });
    const { detail } = await trouble({ server }, 'server.running', 'warning');
    assert.match(detail.en, /process 1 .* does not answer on 127\.0\.0\.1:3030/);
  });

  it('never tells to stop what may be a server of ours with another key', async () => {
    const server = async () => ({ ...(await ours()), status: null, refused: true });
    const options = { server, machine: { listen: async () => 'EADDRINUSE' } };
    const { all, remedy } = await trouble(options, 'server.port', 'warning');
    const running = all.get('server.running');
    assert.equal(running?.state, 'warning');
    assert.match(running?.detail.en ?? '', /cannot be told/);
    for (const { en, ja } of [remedy, running?.remedy].flatMap((one) => one ?? [])) {
      assert.doesNotMatch(`${en} ${ja}`, /[Ss]top|\bend\b|止め|終わらせ/);
    }
  });

  it('knows a server of ours that says little without its key', async () => {
    const server = async () => ({ ...(await ours()), status: { library: { error: null } } });
    const options = { server, machine: { listen: async () => 'EADDRINUSE' } };
    const { all } = await trouble(options, 'server.port', 'ok');
    assert.match(all.get('server.running')?.detail.en ?? '', /pid 1\); set API_KEY/);
  });

  it('refuses what serve would refuse: a public address without a key, a forbidden port', async () => {
    const { remedy } = await trouble({ env: { HOST: '0.0.0.0' } }, 'server.port');
    assert.match(remedy?.en ?? '', /Set API_KEY/);
    const machine = { listen: async () => 'EACCES' };
    const low = await trouble({ env: { PORT: '80' }, machine }, 'server.port');
    assert.match(low.detail.en, /127\.0\.0\.1:80 is not permitted/);
  });
});
