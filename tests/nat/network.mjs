// A small internet of network namespaces: a public segment with a relay, and hosts behind routers of
// different kinds. Everything it makes carries its own prefix and is removed again, also after a
// failure; nothing outside is touched, and the addresses are those reserved for documentation.

import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const PREFIX = 'cnat';
/** The public segment (RFC 5737: never routed anywhere). */
const PUBLIC = '203.0.113';
const RELAY = `${PUBLIC}.2`;

export const sh = (program, ...args) =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** Why this machine cannot make such a network, or nothing. */
export function impossible() {
  const name = `${PREFIX}${process.pid}-try`;
  try {
    sh('ip', 'netns', 'add', name);
    sh('ip', 'netns', 'exec', name, 'nft', 'add', 'table', 'ip', 'nat');
    return undefined;
  } catch (error) {
    return String(error.stderr || error.message).trim();
  } finally {
    try {
      sh('ip', 'netns', 'del', name);
    } catch {
      // It was not made.
    }
  }
}

/** Removes what a run left behind that was killed. */
function sweep() {
  for (const line of sh('ip', 'netns', 'list').split('\n')) {
    const pid = line.match(new RegExp(`^${PREFIX}(\\d+)-`))?.[1];
    if (pid && !readdirSync('/proc').includes(pid)) sh('ip', 'netns', 'del', line.split(' ')[0]);
  }
}

/**
 * How a router translates, as nft rules of its `postrouting` chain (and `prerouting`).
 *
 * - cone: a host's port keeps its number towards everybody (endpoint-independent mapping), and only
 *   whom the host wrote to may answer (address- and port-dependent filtering).
 * - moved: a cone that gives the host's port another number, the same towards everybody.
 * - symmetric: another random port for each destination.
 * - forwarded: a cone, and the owner forwards port 4001 to the host.
 */
const KINDS = {
  cone: { post: 'masquerade' },
  moved: { post: 'masquerade', moved: true },
  symmetric: { post: 'masquerade fully-random' },
  forwarded: { post: 'masquerade', forward: true },
};

const chain = (name, type, rules) =>
  [`chain ${name} {`, `type ${type};`, ...rules, '}'].join('\n');

export class Network {
  #names = [];

  constructor() {
    sweep();
    this.#add('hub');
    this.#in('hub', 'ip', 'link', 'add', 'br0', 'type', 'bridge');
    this.#in('hub', 'ip', 'link', 'set', 'br0', 'up');
    this.#add('relay');
    this.#plug('relay', `${RELAY}/24`);
  }

  /** The relay's address. */
  get relay() {
    return RELAY;
  }

  /** A host behind a router of `kind`; the number makes its addresses. */
  host(name, kind, number) {
    const { post, moved, forward } = KINDS[kind];
    const [router, lan] = [`${name}r`, `10.${number}.0`];
    this.#add(router);
    this.#add(name);
    const outside = `${PUBLIC}.${10 + number}`;
    this.#plug(router, `${outside}/24`);
    this.#cable(router, 'lan', name, 'eth0');
    this.#up(router, 'lan', `${lan}.1/24`);
    this.#up(name, 'eth0', `${lan}.2/24`);
    this.#in(name, 'ip', 'route', 'add', 'default', 'via', `${lan}.1`);
    this.#in(router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
    const to = (protocol) => `iifname "wan" ${protocol} dport 4001 dnat to ${lan}.2`;
    const pre = forward ? [to('udp'), to('tcp')] : [];
    const from = (protocol) => `oifname "wan" ${protocol} sport 4001 snat to ${outside}:24001`;
    const posts = moved ? [from('udp'), from('tcp')] : [];
    // What nobody asked for is dropped, as routers do: an answer would close the hole that the host
    // behind is about to punch.
    const rules = [
      'table ip nat {',
      chain('pre', 'nat hook prerouting priority dstnat', pre),
      chain('post', 'nat hook postrouting priority srcnat', [
        ...posts,
        `oifname "wan" ${post}`,
      ]),
      '}',
      'table ip filter {',
      chain('input', 'filter hook input priority filter', ['iifname "wan" ct state new drop']),
      chain('forward', 'filter hook forward priority filter', [
        'iifname "wan" ct status dnat accept',
        'iifname "wan" ct state new drop',
      ]),
      '}',
      '',
    ].join('\n');
    execFileSync('ip', ['netns', 'exec', this.of(router), 'nft', '-f', '-'], { input: rules });
    return { name, kind, outside, inside: `${lan}.2` };
  }

  /** The namespace's name, for `ip netns exec`. */
  of(name) {
    return `${PREFIX}${process.pid}-${name}`;
  }

  /** Bytes that the public side of `name` sent and received so far. */
  bytes(name) {
    const read = (what) =>
      Number(this.#in(name, 'cat', `/sys/class/net/wan/statistics/${what}_bytes`));
    return read('rx') + read('tx');
  }

  remove() {
    for (const name of this.#names.splice(0)) {
      try {
        sh('ip', 'netns', 'del', name);
      } catch (error) {
        console.error(`namespace ${name} is left: ${error.message}`);
      }
    }
  }

  #add(name) {
    sh('ip', 'netns', 'add', this.of(name));
    this.#names.push(this.of(name));
    this.#in(name, 'ip', 'link', 'set', 'lo', 'up');
  }

  #in(name, ...command) {
    return sh('ip', 'netns', 'exec', this.of(name), ...command);
  }

  /** Gives `name` an interface `wan` on the public segment. */
  #plug(name, address) {
    this.#cable('hub', name, name, 'wan');
    this.#in('hub', 'ip', 'link', 'set', name, 'master', 'br0', 'up');
    this.#up(name, 'wan', address);
  }

  #cable(a, end, b, other) {
    const peer = ['peer', 'name', other, 'netns', this.of(b)];
    this.#in(a, 'ip', 'link', 'add', end, 'type', 'veth', ...peer);
  }

  #up(name, link, address) {
    this.#in(name, 'ip', 'addr', 'add', address, 'dev', link);
    this.#in(name, 'ip', 'link', 'set', link, 'up');
  }
}
