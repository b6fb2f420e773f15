/** Small C++ programs that answer lines: for what is pure in native/src, without Node around it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inProject } from '../../scripts/root.js';
import { compiler } from './fake.js';

/** A program made of these sources (paths from the root); `close` removes it. */
export class LineProgram {
  readonly #folder = mkdtempSync(join(tmpdir(), 'hoshikage-lines-'));
  readonly #program = join(this.#folder, 'program');

  constructor(sources: readonly string[], include: string) {
    const flags = ['-std=c++17', `-I${inProject(include)}`, '-o', this.#program];
    execFileSync(compiler ?? 'c++', [...sources.map(inProject), ...flags]);
  }

  /** The folder it lies in. */
  get folder(): string {
    return this.#folder;
  }

  /** One line for each question. */
  answers(questions: readonly string[]): string[] {
    return execFileSync(this.#program, { input: questions.join('\n'), encoding: 'utf8' })
      .split('\n')
      .slice(0, questions.length)
      .map((line) => line.trim());
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
