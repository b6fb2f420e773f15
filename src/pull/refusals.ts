/**
 * Why a server gives no file, in words that say what to do: by its status, and by what a hub adds to it.
 * Pure; any process. No token and no query of an address may stand in them.
 */
import { HoshikageError } from '../errors.js';
import { type Reply, shownUrl } from '../web/web.js';

/** What is asked for, as people call it. */
export interface Named {
  readonly name: string;
  /** Where it is looked for. */
  readonly where: string;
  /** The page of its repository on the hub; null where it has none. */
  readonly page: string | null;
}

/** Statuses that the next try may not have. */
export function isStatusPassing(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/** What an answer that is neither 200 nor 206, nor passes, means. */
export function refusal(
  reply: Pick<Reply, 'status' | 'headers' | 'url'>,
  named: Named,
  { isHub, hasToken }: { readonly isHub: boolean; readonly hasToken: boolean },
): HoshikageError {
  const { status, headers, url } = reply;
  const code = String(headers['x-error-code'] ?? '');
  if (status === 404 || status === 410) return notFound(named, code);
  if (status === 401 || status === 403) {
    const { en, ja } = advice(code, named, { isHub, hasToken });
    const details = { url: shownUrl(url), http: status, advice: en, advice_ja: ja };
    return new HoshikageError('pull_refused', details);
  }
  if (status === 416) {
    return new HoshikageError('pull_invalid', {
      file: named.name,
      reason: 'the server has no such part of it, so it is shorter than was said',
      reason_ja: 'サーバーにその部分がありません(言っていたより短いファイルです)',
    });
  }
  const reason = `HTTP ${status}`;
  return new HoshikageError('pull_unreachable', { url: shownUrl(url), reason, kept: '' });
}

function notFound({ name, where }: Named, code: string): HoshikageError {
  const isRevision = code === 'RevisionNotFound';
  return new HoshikageError('pull_not_found', {
    what: name,
    where,
    hint: isRevision ? '; there is no such revision' : '',
    hint_ja: isRevision ? '。その版(ブランチ、タグ、コミット)がありません' : '',
  });
}

interface Words {
  readonly en: string;
  readonly ja: string;
}

function advice(
  code: string,
  { page }: Named,
  { isHub, hasToken }: { readonly isHub: boolean; readonly hasToken: boolean },
): Words {
  if (!isHub || page === null) {
    return {
      en: 'the address wants a permission that Hoshikage does not send',
      ja: 'このアドレスには、星影が送らない許可が要ります',
    };
  }
  if (code === 'GatedRepo') {
    return {
      en: `its terms must be accepted first: open ${page}, agree, and write a token of your account as HF_TOKEN into .env`,
      ja: `先に利用条件への同意が要ります。${page} を開いて同意し、自分のアカウントのトークンを .env に HF_TOKEN と書いてください`,
    };
  }
  if (hasToken) {
    return {
      en: `there is no such repository, or HF_TOKEN may not read it: ${page}`,
      ja: `そのリポジトリがないか、HF_TOKEN のトークンでは読めません: ${page}`,
    };
  }
  return {
    en: `there is no such repository, or it is private (then write HF_TOKEN into .env): ${page}`,
    ja: `そのリポジトリがないか、非公開です(非公開なら .env に HF_TOKEN を書いてください): ${page}`,
  };
}
