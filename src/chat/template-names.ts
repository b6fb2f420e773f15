/**
 * Which names a template speaks of: what is none of them has no effect on it. Server's main thread;
 * pure but for what it remembers. It reads a template as text and must never run one.
 */

const KEPT = 16;
const known = new Map<string, ReadonlySet<string>>();

/** Every name in the template's code, outside its texts and comments. */
export function namesIn(template: string): ReadonlySet<string> {
  const found = known.get(template);
  if (found) return found;
  const names = new Set<string>();
  for (const [block] of template.matchAll(/\{[{%][\s\S]*?[}%]\}/g)) {
    // Keys stand in texts, too: message['name'].
    for (const [, key] of block.matchAll(/\[\s*['"](\w+)['"]\s*\]/g)) names.add(key ?? '');
    const code = block.replace(/'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"/g, ' ');
    for (const [name] of code.matchAll(/[A-Za-z_]\w*/g)) names.add(name);
  }
  const [oldest] = known.keys();
  if (known.size >= KEPT && oldest !== undefined) known.delete(oldest);
  known.set(template, names);
  return names;
}
