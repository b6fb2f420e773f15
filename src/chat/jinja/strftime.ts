/**
 * Dates as Python's strftime writes them in the C locale. Pure; runs in the template worker.
 */

/** Python's strftime in the C locale and local time; an unknown directive stays as it is. */
export function strftime(format: string, now: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const month = (style: 'long' | 'short') => now.toLocaleString('en-US', { month: style });
  const weekday = (style: 'long' | 'short') => now.toLocaleString('en-US', { weekday: style });
  const hour12 = now.getHours() % 12 || 12;
  const newYear = new Date(now.getFullYear(), 0, 0, now.getHours(), now.getMinutes());
  const dayOfYear = Math.round((now.getTime() - newYear.getTime()) / 86_400_000);
  const values: Readonly<Record<string, string>> = {
    Y: String(now.getFullYear()),
    y: two(now.getFullYear() % 100),
    m: two(now.getMonth() + 1),
    d: two(now.getDate()),
    e: String(now.getDate()).padStart(2, ' '),
    H: two(now.getHours()),
    I: two(hour12),
    M: two(now.getMinutes()),
    S: two(now.getSeconds()),
    p: now.getHours() < 12 ? 'AM' : 'PM',
    B: month('long'),
    b: month('short'),
    A: weekday('long'),
    a: weekday('short'),
    j: String(dayOfYear).padStart(3, '0'),
    '%': '%',
  };
  return format.replace(/%(-?)([A-Za-z%])/g, (whole, bare: string, directive: string) => {
    const value = values[directive];
    if (value === undefined) return whole;
    return bare ? value.replace(/^[0 ]+(?=.)/, '') : value;
  });
}
