/** Which addresses a stranger's redirect may not lead to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPrivateAddress, literalAddress } from '../../src/web/addresses.js';

test('addresses of this machine, of networks around it, and reserved ones are private', () => {
  for (const address of [
    ...['0.0.0.0', '10.1.2.3', '100.64.0.1', '127.0.0.1', '127.9.9.9', '169.254.169.254'],
    ...[
      '172.16.0.1',
      '172.31.255.255',
      '192.168.1.1',
      '198.18.0.1',
      '224.0.0.1',
      '255.255.255.255',
    ],
    ...['::', '::1', 'fe80::1', 'fe80::1%eth0', 'fc00::1', 'fd12:3456::1', 'fec0::1', 'ff02::1'],
  ]) {
    assert.ok(isPrivateAddress(address), address);
  }
});

test('an IPv4 address inside an IPv6 one is judged as what it is', () => {
  for (const address of [
    ...['::ffff:127.0.0.1', '::ffff:a00:1', '::127.0.0.1', '64:ff9b::10.0.0.1', '64:ff9b::7f00:1'],
    ...['2002:7f00:1::', '2001:0:4136:e378::1'],
  ]) {
    assert.ok(isPrivateAddress(address), address);
  }
  for (const address of ['::ffff:93.184.216.34', '64:ff9b::5db8:d822', '64:ff9b::8.8.8.8']) {
    assert.ok(!isPrivateAddress(address), address);
  }
});

test('all other addresses are public, and what is no address is not', () => {
  for (const address of ['8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '2a00::1']) {
    assert.ok(!isPrivateAddress(address), address);
  }
  for (const text of ['', 'localhost', '1.2.3', 'example.com']) assert.ok(isPrivateAddress(text));
});

test('the host of an address may be an IP address in any spelling', () => {
  const hosts = ['http://2130706433/', 'http://0x7f.1/', 'http://[::1]:80/', 'http://a.example/'];
  assert.deepEqual(
    hosts.map((text) => literalAddress(new URL(text))),
    ['127.0.0.1', '127.0.0.1', '::1', null],
  );
});
