/**
 * Which rules call one another in circles. Pure, any thread; a loop with a stack of its own, so that no
 * grammar is too deep for it.
 */

/** The group of each rule, and each group's rules; whatever a group calls comes before it. */
export interface Circles {
  readonly group: readonly number[];
  readonly groups: readonly (readonly number[])[];
}

/** `calls`: of each rule, the rules it calls. Strongly connected rules (Tarjan 1972, with a stack of its own), callees before callers. */
export function circles(calls: readonly number[][]): Circles {
  const index: number[] = [];
  const low: number[] = [];
  const group: number[] = [];
  const groups: number[][] = [];
  const path: number[] = [];
  let count = 0;
  for (const root of calls.keys()) {
    if (index[root] !== undefined) continue;
    const work: { readonly rule: number; next: number }[] = [{ rule: root, next: 0 }];
    for (let top = work.at(-1); top !== undefined; top = work.at(-1)) {
      const { rule } = top;
      if (top.next === 0) {
        index[rule] = count;
        low[rule] = count++;
        path.push(rule);
      }
      const callee = calls[rule]?.[top.next++];
      if (callee !== undefined) {
        if (index[callee] === undefined) work.push({ rule: callee, next: 0 });
        else if (group[callee] === undefined) {
          low[rule] = Math.min(low[rule] ?? 0, index[callee] ?? 0);
        }
        continue;
      }
      work.pop();
      const caller = work.at(-1)?.rule;
      if (caller !== undefined) low[caller] = Math.min(low[caller] ?? 0, low[rule] ?? 0);
      if (low[rule] !== index[rule]) continue;
      const members = path.splice(path.lastIndexOf(rule));
      for (const member of members) group[member] = groups.length;
      groups.push(members);
    }
  }
  return { group, groups };
}
