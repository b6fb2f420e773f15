/** A conversation on its way to a model and into a file. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Conversation } from '../../cli/talk/conversation.js';
import { TranscriptFiles, transcriptOf } from '../../cli/talk/transcript.js';

const savedAt = new Date(0);

function talk(): Conversation {
  const conversation = new Conversation('猫', '短く');
  conversation.add('こんにちは', { text: 'にゃあ', reasoning: '挨拶だ' });
  conversation.add('Bye', { text: 'Meow', reasoning: '' });
  return conversation;
}

function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'hoshikage-talk-'));
  context.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

describe('a conversation', () => {
  it('asks with the system message and all that was said, but not with what was thought', () => {
    assert.deepEqual(talk().messagesWith('and?'), [
      { role: 'system', content: '短く' },
      { role: 'user', content: 'こんにちは' },
      { role: 'assistant', content: 'にゃあ' },
      { role: 'user', content: 'Bye' },
      { role: 'assistant', content: 'Meow' },
      { role: 'user', content: 'and?' },
    ]);
    const empty = talk();
    empty.reset();
    empty.system = null;
    assert.deepEqual(empty.messagesWith('and?'), [{ role: 'user', content: 'and?' }]);
  });

  it('counts what its answers took', () => {
    const conversation = talk();
    const figures = {
      promptTokens: 5,
      cachedTokens: 2,
      completionTokens: 3,
      tokensPerSecond: 9,
      firstTokenMs: 1,
      truncatedTokens: 0,
    };
    conversation.count(figures);
    conversation.count({ ...figures, promptTokens: null });
    assert.deepEqual(conversation.totals, {
      answers: 2,
      promptTokens: 5,
      cachedTokens: 4,
      completionTokens: 6,
    });
    assert.equal(conversation.last?.promptTokens, null);
  });

  it('is saved as JSON, whose messages can be sent again, or to be read', () => {
    const json = JSON.parse(transcriptOf(talk(), 'x.JSON', { language: 'ja', savedAt }));
    assert.deepEqual(json, {
      model: '猫',
      saved_at: '1970-01-01T00:00:00.000Z',
      messages: [
        { role: 'system', content: '短く' },
        { role: 'user', content: 'こんにちは' },
        { role: 'assistant', content: 'にゃあ', reasoning_content: '挨拶だ' },
        { role: 'user', content: 'Bye' },
        { role: 'assistant', content: 'Meow' },
      ],
    });
    const text = transcriptOf(talk(), 'x.md', { language: 'ja', savedAt });
    assert.match(text, /^# 星影との会話\n\nモデル: 猫 /);
    const here = savedAt.toLocaleTimeString('ja-JP');
    assert.match(text, new RegExp(`日時: .*年.* ${here}`), 'by the clock of the reader');
    assert.match(text, /## あなた\n\nこんにちは\n\n## 猫\n\nにゃあ\n/);
  });
});

describe('a file of a conversation', () => {
  it('is for this user only, and may be written again by the same conversation', async (context) => {
    const cwd = folder(context);
    const files = new TranscriptFiles(cwd);
    const path = await files.save(talk(), 'a.json', 'en');
    assert.deepEqual([path, statSync(path).mode & 0o777], [join(cwd, 'a.json'), 0o600]);
    const longer = talk();
    longer.add('more', { text: 'and more', reasoning: '' });
    await files.save(longer, './a.json', 'en');
    assert.match(readFileSync(path, 'utf8'), /and more/);
    assert.deepEqual(readdirSync(cwd), ['a.json']);
  });

  it('takes the place of nothing that was there before', async (context) => {
    const cwd = folder(context);
    writeFileSync(join(cwd, 'mine.md'), 'mine');
    const files = new TranscriptFiles(cwd);
    for (const name of ['mine.md', '.', 'nowhere/x.md']) {
      await assert.rejects(files.save(talk(), name, 'en'), { code: 'file_unwritable' }, name);
    }
    assert.equal(readFileSync(join(cwd, 'mine.md'), 'utf8'), 'mine');
  });
});
