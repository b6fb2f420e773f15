/**
 * What a libllama does without on this machine, as lines for people: an accelerator's driver or runtime
 * that is not here. Runs in the CLI process. It only looks at files.
 */
import type { ScanReport } from '../src/library/scan.js';
import { plain, print, type Words } from './print.js';
import type { Shell } from './shell.js';

type Reason = ScanReport['notes'][number];

/** A note of a scan in both languages. */
export function noteWords({ reason, reason_ja }: Reason): Words {
  return { ja: reason_ja, en: reason };
}

/** Says each of them, and what follows. */
export function sayNotes(notes: readonly Reason[], { say }: Shell): void {
  for (const note of notes) {
    print(plain(say({ ja: `注意: ${note.reason_ja}`, en: `Note: ${note.reason}` })));
  }
  if (notes.length === 0) return;
  print(
    say({
      ja: 'それまでは、その部品なしで動きます(多くは CPU だけになります)',
      en: 'Until then it works without that part (mostly on the CPU alone)',
    }),
  );
}
