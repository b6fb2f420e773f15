/** Files that are no libllama, or not all of one: what the server says of them, and that it goes on. */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { before, describe, test } from 'node:test';
import { addonPath } from '../../src/engine/addon.js';
import { elfImage, llamaFunctions, writeElf } from '../helpers/elf-file.js';
import { TEXT, talker } from '../helpers/models.js';
import { copyLibrary, packagedLibrary } from '../helpers/packaged.js';
import {
  type Home,
  makeHome,
  type Owner,
  startServer,
  type TestServer,
} from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { ask, chat, chatBody, streamChat } from '../helpers/wire.js';

/** The packaged libllama, a real one. */
let packaged: string;

before(async () => {
  packaged = await packagedLibrary();
});

interface Refusal {
  readonly title: string;
  /** Puts files into a directory; gives what HOSHIKAGE_LIB_PATH is to name. */
  readonly put: (directory: string) => string | Promise<string>;
  readonly ja: RegExp;
  readonly en: RegExp;
}

/** Puts one file named libllama.so. */
const putFile = (content: string | Buffer) => (directory: string) => {
  writeFileSync(join(directory, 'libllama.so'), content);
  return directory;
};

const REFUSALS: readonly Refusal[] = [
  {
    title: 'a text file',
    put: putFile('this is no library\n'),
    ja: /libllama\.so はテキストで/,
    en: /libllama\.so is a text, not a library/,
  },
  { title: 'an empty file', put: putFile(''), ja: /空です/, en: /libllama\.so is empty/ },
  {
    title: 'a real library that was cut off',
    put: async (directory) => {
      const path = await copyLibrary(directory);
      truncateSync(path, Math.floor(statSync(path).size / 2));
      return path;
    },
    ja: /途中で切れているか壊れています/,
    en: /is cut off or damaged/,
  },
  {
    title: 'a 32-bit library',
    put: (directory) =>
      putFile(elfImage({ bits: 32, machine: 3, exports: llamaFunctions() }))(directory),
    ja: /ia32.32 ビット.のためのもの/,
    en: /is for ia32 \(32 bits\); this is/,
  },
  {
    title: 'an unrelated library',
    put: (directory) => {
      const path = join(directory, 'libother.so');
      copyFileSync(addonPath(), path);
      return path;
    },
    ja: /libother\.so は libllama ではありません/,
    en: /libother\.so is not libllama/,
  },
  {
    title: 'libllama without its libggml',
    put: (directory) => copyLibrary(directory, /ggml/),
    ja: /が必要とする libggml\S* が .* にありません/,
    en: /needs libggml\S*, which is not in/,
  },
  {
    title: 'libllama without a backend to compute with',
    put: (directory) => copyLibrary(directory, /ggml-(?!base)/),
    ja: /計算を受け持つ libggml-cpu などがありません/,
    en: /holds no libggml-cpu or other compute backend/,
  },
  {
    title: 'a libggml of another version',
    put: async (directory) => {
      const path = await copyLibrary(directory);
      writeElf(join(directory, 'libggml-base.so'), [], 'libggml-base.so', {
        exports: ['ggml_init', 'ggml_free'],
      });
      return path;
    },
    ja: /違う版のファイルが混ざっています/,
    en: /files of different versions are mixed/,
  },
  {
    title: 'two versions of libllama on one libggml',
    put: async (directory) => {
      const path = await copyLibrary(directory);
      writeElf(join(directory, 'libllama.b9999.so'), ['libggml-base.so'], 'libllama.b9999.so', {
        exports: llamaFunctions(),
      });
      return path;
    },
    ja: /違う版の libllama\(.*\)があり/,
    en: /holds two versions of libllama .* that share libggml-base\.so/,
  },
];

async function homeWithTalker(owner: Owner): Promise<Home> {
  const home = makeHome(owner);
  home.writeMap({ talker: await talker() });
  return home;
}

/** The server's word on its library, once it has one. */
function libraryOf(server: TestServer) {
  return until('verdict on the library', async () => {
    const { library } = await server.status();
    return library.state === 'checking' ? null : library;
  });
}

async function assertRefuses(server: TestServer, { ja, en }: Refusal): Promise<void> {
  const library = await libraryOf(server);
  assert.deepEqual([library.state, library.error?.code], ['refused', 'library_incompatible']);
  assert.match(library.error?.message ?? '', ja);
  assert.match(library.error?.message ?? '', en);
  const body = chatBody('talker', 'x');
  const [whole, streamed] = [await chat(server, body), await streamChat(server, body)];
  assert.deepEqual([whole.status, streamed.status], [503, 503]);
  for (const error of [whole.body.error, streamed.error]) {
    assert.equal(error?.code, 'library_incompatible');
    assert.match(error?.message ?? '', en);
  }
}

describe('A library that cannot be used is refused by what it is', () => {
  for (const refusal of REFUSALS) {
    test(`${refusal.title}, and the server stays up`, async (t) => {
      const home = await homeWithTalker(t);
      const directory = join(home.root, 'their library');
      mkdirSync(directory);
      const HOSHIKAGE_LIB_PATH = await refusal.put(directory);
      const server = await startServer(t, { home, env: { HOSHIKAGE_LIB_PATH } });
      await assertRefuses(server, refusal);
      assert.equal((await ask(`${server.url}/health`)).status, 200);
      assert.equal((await server.stop()).code, 0);
    });
  }
});

describe('LD_LIBRARY_PATH', () => {
  test('that leads to another version of libggml does not matter', async (t) => {
    const home = await homeWithTalker(t);
    const theirs = join(home.root, 'another version');
    mkdirSync(theirs);
    // By the names and sonames of ours: whoever opened one of them would fail.
    for (const name of readdirSync(dirname(packaged))) {
      if (/^lib(llama|ggml).*\.so/.test(name)) writeElf(join(theirs, name), [], name);
    }
    const env = { LD_LIBRARY_PATH: theirs };
    const server = await startServer(t, { home, env });
    const library = await libraryOf(server);
    assert.deepEqual([library.state, library.path], ['ok', packaged]);
    const { body } = await chat(server, chatBody('talker', '設定', { temperature: 0 }));
    assert.equal(body.choices[0]?.message.content, TEXT.settings);
  });

  test('does not complete a libllama whose libggml is missing', async (t) => {
    const home = await homeWithTalker(t);
    const [alone, theirs] = [join(home.root, 'alone'), join(home.root, 'theirs')];
    const env = { HOSHIKAGE_LIB_PATH: await copyLibrary(alone, /ggml/), LD_LIBRARY_PATH: theirs };
    await copyLibrary(theirs, /llama/);
    const server = await startServer(t, { home, env });
    const { state, error } = await libraryOf(server);
    assert.equal(state, 'refused');
    assert.match(error?.message ?? '', /may be of another version, so it is not taken/);
    assert.ok(error?.message.includes(theirs));
  });
});
