/**
 * The machine that is to run a library, and whether a library is for such a machine at all.
 * Any process. It looks at files only.
 */
import type { BinaryFacts } from '../binary/binary.js';
import { because, type Reason } from '../binary/reasons.js';

/** The machine that is to run the library. */
export interface Host {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  /** Its glibc's version; absent = look at this machine's own, null = compare none. */
  readonly glibc?: string | null;
  /** Its libstdc++'s, as GLIBCXX counts. */
  readonly glibcxx?: string | null;
  /** The environment that engine processes will have. */
  readonly env?: NodeJS.ProcessEnv;
}

const SYSTEMS = { elf: 'Linux', pe: 'Windows', 'mach-o': 'macOS' } as const;
const FORMATS: Readonly<Partial<Record<NodeJS.Platform, BinaryFacts['format']>>> = {
  win32: 'pe',
  darwin: 'mach-o',
};
const NARROW = ['ia32', 'arm', 'mips', 'mipsel', 'ppc', 's390'];

/** Why a library is for another machine or system; null where it is for this one. */
export function foreignTo(file: string, facts: BinaryFacts, host: Host): Reason | null {
  const own = FORMATS[host.platform] ?? 'elf';
  if (facts.format !== own) {
    const ours = SYSTEMS[own];
    return because('wrong_system', { file, theirs: SYSTEMS[facts.format], ours });
  }
  const bits = NARROW.includes(host.arch) ? 32 : 64;
  if (facts.machine === host.arch && facts.bits === bits) return null;
  const details = { file, theirs: facts.machine, bits: facts.bits, ours: host.arch };
  return because('wrong_machine', details);
}
