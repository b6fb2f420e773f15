/**
 * Which names from outside may become names of files: the one gate between what a server lists and the
 * file system. Pure; any process. A name that some system reads as anything but a plain name is refused.
 */
import { join, relative, resolve, sep } from 'node:path';
import { HoshikageError } from '../errors.js';

/** What our own endings need of the 255 bytes that a name may have. */
const MOST_BYTES = 200;
const MOST_SEGMENTS = 8;
/** Names of devices on Windows, whatever follows the first dot. */
const RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?$/i;

interface Words {
  readonly en: string;
  readonly ja: string;
}

/** Why a name cannot be a file's or a folder's, or null where it can. */
export function nameProblem(name: string): Words | null {
  if (name === '' || name === '.' || name === '..') {
    return { en: 'it is a step in a path', ja: 'パスの一部として読まれる名前です' };
  }
  if (/[\\/:*?"<>|]/.test(name)) {
    return {
      en: 'it has a character that means something in a path',
      ja: 'パスの記号を含んでいます',
    };
  }
  if (/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(name)) {
    return { en: 'it has characters that cannot be seen', ja: '見えない文字を含んでいます' };
  }
  if (/^[.\s-]|[.\s]$/u.test(name)) {
    return {
      en: 'it begins with a dot, a dash or a space, or ends with a dot or a space',
      ja: '点、ハイフン、空白で始まるか、点、空白で終わっています',
    };
  }
  if (RESERVED.test(name)) {
    return { en: 'Windows keeps that name for a device', ja: 'Windows がデバイスに使う名前です' };
  }
  if (Buffer.byteLength(name) > MOST_BYTES) {
    return {
      en: `it is longer than ${MOST_BYTES} bytes`,
      ja: `${MOST_BYTES} バイトを超えています`,
    };
  }
  return null;
}

/** The path of a file below `root`, whose names have all been checked. Code: pull_invalid. */
export function pathBelow(root: string, names: readonly string[]): string {
  const listed = names.join('/');
  const problem =
    names.length > MOST_SEGMENTS || names.length === 0
      ? { en: 'it lies too deep', ja: '階層が深すぎます' }
      : names.map(nameProblem).find((one) => one !== null);
  if (problem) throw unsafe(listed, problem);
  const path = join(resolve(root), ...names);
  const inside = relative(resolve(root), path);
  // The names say so already; this is for a system whose rules we do not know.
  if (inside === '' || inside === '..' || inside.startsWith(`..${sep}`)) {
    throw unsafe(listed, { en: 'it leads out of the folder', ja: 'フォルダーの外を指しています' });
  }
  return path;
}

function unsafe(file: string, { en, ja }: Words): HoshikageError {
  return new HoshikageError('pull_invalid', {
    file: file.slice(0, 300),
    reason: `its name is refused, since ${en}`,
    reason_ja: `名前を受け付けません(${ja})`,
  });
}
