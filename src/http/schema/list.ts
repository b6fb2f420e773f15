/**
 * An array whose check ends at its first bad item. zod's own keeps an issue for every one: a body
 * within its limit holds millions, which are minutes of work and gigabytes. Runs in the server; pure.
 */
import { z } from 'zod';
import { shownAs } from './notes.js';

/** An array of `item`; the first item that does not fit is the only one that is reported. */
export function listOf<S extends z.ZodType>(item: S, { min = 0 } = {}) {
  const [any, form] = [z.array(z.unknown()), z.array(item)];
  const list = (min > 0 ? any.min(min) : any).transform((values, context) => {
    const items: z.output<S>[] = [];
    for (const [index, input] of values.entries()) {
      const { success, data, error } = item.safeParse(input);
      if (!success) {
        for (const issue of error.issues) {
          const path = [index, ...issue.path];
          // An issue that zod made is one that it takes; its types tell the two apart by `input`.
          context.issues.push({ ...issue, path, input } as z.core.$ZodRawIssue);
        }
        return z.NEVER;
      }
      items.push(data);
    }
    return items;
  });
  return shownAs(min > 0 ? form.min(min) : form, list);
}
