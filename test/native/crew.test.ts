/** Threads that help with one step: what becomes of the pieces they are given. */
import { after, before, describe, it } from 'node:test';
import { skipReason } from './fake.js';
import { Program } from './program.js';

const SOURCES = ['test/native/crew.cc', 'native/src/decode/crew.cc', 'native/src/llama/crash.cc'];

describe('a crew', { skip: skipReason }, () => {
  let program: Program;
  before(() => {
    program = new Program(SOURCES);
  });
  after(() => program?.close());

  const holds = (check: string) => (): void => program.check(check);

  it('does every piece once, and all before it returns', holds('once'));
  it('does pieces at once, on threads of their own', holds('together'));
  it('takes no other thread for a single piece, or where it has none', holds('alone'));
  it('says that a piece threw when the others are done, and goes on after that', holds('throwing'));
  it('may end at any time between two steps, and without a first one', holds('ending'));
});
