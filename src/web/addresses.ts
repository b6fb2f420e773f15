/**
 * Which addresses belong to a machine itself or to the networks around it, where a stranger's word must
 * never lead us. Pure; any process. What it cannot read counts as private.
 */
import type { LookupAddress } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

const PRIVATE = new BlockList();
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const) {
  PRIVATE.addSubnet(network, bits, 'ipv4');
}
for (const [network, bits] of [
  // Unspecified, loopback, and the form of IPv4 addresses that nobody uses any more.
  ['::', 96],
  // Teredo and 6to4 carry an IPv4 address of anybody's choice.
  ['2001::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 9],
  ['ff00::', 8],
] as const) {
  PRIVATE.addSubnet(network, bits, 'ipv6');
}
/** How an IPv4 address looks on a network that has only IPv6 (NAT64). */
const TRANSLATED = /^64:ff9b::(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,4})?$/;

/** True for an IP address that is loopback, private, link-local, multicast, reserved, or no address. */
export function isPrivateAddress(address: string): boolean {
  const bare = address.replace(/%.*$/, '');
  const version = isIP(bare);
  if (version === 4) return PRIVATE.check(bare, 'ipv4');
  if (version !== 6) return true;
  // A URL spells an address in its one shortest form.
  const shortest = new URL(`http://[${bare}]`).hostname.slice(1, -1);
  const inside = TRANSLATED.exec(shortest);
  if (!inside) return PRIVATE.check(shortest, 'ipv6');
  const [high, low] = [inside[1], inside[2]].map((group) => Number.parseInt(group ?? '0', 16));
  return PRIVATE.check(dotted(high ?? 0, low ?? 0), 'ipv4');
}

function dotted(high: number, low: number): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** The address that a URL's host is already, without brackets; null where it is a name. */
export function literalAddress({ hostname }: URL): string | null {
  const bare = hostname.replace(/^\[|\]$/g, '');
  return isIP(bare) === 0 ? null : bare;
}

/** A lookup that shows each answer to `look`, which may refuse it by throwing. */
export function watchedLookup(
  lookup: LookupFunction,
  look: (hostname: string, addresses: readonly string[]) => void,
): LookupFunction {
  return (hostname, options, callback) =>
    lookup(hostname, options, (error, found, family) => {
      if (error) return callback(error, found, family);
      try {
        look(hostname, addressesOf(found));
      } catch (refusal) {
        return callback(refusal instanceof Error ? refusal : new Error(String(refusal)), []);
      }
      return callback(null, found, family);
    });
}

/** What a lookup has found, as addresses. */
export function addressesOf(found: string | readonly LookupAddress[]): readonly string[] {
  return typeof found === 'string' ? [found] : found.map(({ address }) => address);
}
