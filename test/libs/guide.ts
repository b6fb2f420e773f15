/**
 * The table of tried builds in docs/LIBRARY_GUIDE.md: what it must say after a run, and what it says.
 * Pure functions over text. Test code only.
 */

/** One build that works, in the table's words. */
export interface Row {
  readonly version: string;
  readonly name: string;
  readonly layout: { readonly model: string; readonly context: string };
}

const BEGIN = '<!-- versions:begin -->';
const END = '<!-- versions:end -->';

/** One line of the table. */
export function lineOf({ version, name, layout }: Row): string {
  return `| ${version} | ${name} | ${layout.model} / ${layout.context} |`;
}

/** The guide with its table replaced. Throws where the marks are missing. */
export function withTable(guide: string, rows: readonly Row[]): string {
  const [from, to] = [guide.indexOf(BEGIN), guide.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`the guide has no ${BEGIN} ... ${END}`);
  const head = ['| npm(`@node-llama-cpp/linux-x64`) | llama.cpp | 形 |', '|---|---|---|'];
  const table = [BEGIN, ...head, ...rows.map(lineOf), ''].join('\n');
  return guide.slice(0, from) + table + guide.slice(to);
}
