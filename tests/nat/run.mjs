// Real nodes behind routers of different kinds: who reaches whom, and over what.
//
// Expected (RFC 4787's words): two hosts behind cones punch a hole and talk directly; where one side
// is symmetric and the other filters by address and port, the port that would have to be open cannot
// be known, and the relay carries the circuit; who has a forwarded port is reached directly by all.

import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Network, impossible, sh } from './network.mjs';
import { Tab, stun } from './tabs.mjs';

const CRAFTEC = process.env.CRAFTEC ?? 'target/release/craftec';
const MIB = 1 << 20;
/** How long anything may take on a busy machine. */
const PATIENCE_MS = 60_000;
/** How long a hole may take to be punched, three attempts included. */
const PUNCH_MS = 45_000;
/** What may pass the relay beside a transfer of 1 MiB that is direct: pings, DHT, identify. */
const ASIDE_BYTES = 256 << 10;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const hash = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Processes that are ended with this one. */
const children = new Set();

class Node {
  constructor(network, folder, name) {
    Object.assign(this, { network, name, data: join(folder, name) });
  }

  async up(...args) {
    const ns = this.network.of(this.name);
    const log = process.env.NAT_LOG ?? 'warn,libp2p_kad=error,libp2p_autonat=error';
    const command = ['netns', 'exec', ns, CRAFTEC, '--data', this.data, '--json', '--log', log];
    const all = [...command, ...args, 'up', '--http', '127.0.0.1:0', ...this.listen()];
    this.child = spawn('ip', all, { stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(this.child);
    this.child.once('exit', () => children.delete(this.child));
    this.said = '';
    this.child.stderr.on('data', (data) => (this.said += data));
    const line = new Promise((ready, failed) => {
      this.child.stdout.once('data', (data) => ready(JSON.parse(data)));
      this.child.once('exit', (code) =>
        failed(new Error(`${this.name} ended (${code})\n${this.said}`)),
      );
    });
    this.ready = await within(PATIENCE_MS, `${this.name} is ready`, line);
    return this;
  }

  listen() {
    const at = ['udp/4001/quic-v1', 'tcp/4001', 'tcp/4002/ws'];
    return at.flatMap((rest) => ['--listen', `/ip4/0.0.0.0/${rest}`]);
  }

  /** A command of this node's own command line, answered by the running node. */
  run(...args) {
    return JSON.parse(sh(CRAFTEC, '--data', this.data, '--json', ...args));
  }

  put(bytes) {
    const file = `${this.data}.put`;
    writeFileSync(file, bytes);
    return this.run('put', '--replicas', '0', file).cid;
  }

  get(cid) {
    const file = `${this.data}.get`;
    this.run('get', cid, '--out', file);
    return readFileSync(file);
  }

  link(to) {
    return this.run('status').peers.find((peer) => peer.peer_id === to.ready.peer_id)?.link;
  }

  async down() {
    if (!this.child || this.child.exitCode !== null) return;
    const ended = new Promise((done) => this.child.once('exit', done));
    this.child.kill('SIGTERM');
    await Promise.race([ended, sleep(8000).then(() => this.child.kill('SIGKILL'))]);
  }
}

async function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, failed) => {
    timer = setTimeout(() => failed(new Error(`waited ${ms} ms in vain until ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function until(ms, what, done) {
  const begun = Date.now();
  for (;;) {
    const value = done();
    if (value) return [value, Date.now() - begun];
    if (Date.now() - begun > ms) throw new Error(`waited ${ms} ms in vain until ${what}`);
    await sleep(500);
  }
}

function check(right, what) {
  if (!right) throw new Error(what);
}

/** Sends 1 MiB from `a` to `b`; how many bytes passed the relay meanwhile. */
function send(network, a, b) {
  const bytes = randomBytes(MIB);
  const cid = a.put(bytes);
  const before = network.bytes('relay');
  check(hash(b.get(cid)) === hash(bytes), `${a.name} to ${b.name}: other bytes came`);
  return network.bytes('relay') - before;
}

const DIRECT = ['quic', 'tcp'];

async function meet(network, a, b, direct) {
  // The first exchange goes over whatever there is: a circuit, until a hole is punched.
  send(network, a, b);
  const up = () => DIRECT.includes(b.link(a)) && DIRECT.includes(a.link(b));
  let took = 0;
  if (direct) {
    [, took] = await until(PUNCH_MS, `${a.name} and ${b.name} are connected directly`, up);
    // New streams go over the direct link at once; what idles on the circuit is not used again.
    await sleep(2000);
  } else {
    await sleep(PUNCH_MS / 3);
    check(!up(), `${a.name} and ${b.name} are connected directly, which theory excludes`);
    check(b.link(a) === 'relayed', `${b.name} sees ${a.name} over ${b.link(a)}`);
  }
  const passed = [send(network, a, b), send(network, b, a)];
  const kib = passed.map((bytes) => `${(bytes / 1024).toFixed(0)} KiB`).join(', ');
  for (const bytes of passed) {
    check((bytes < ASIDE_BYTES) === direct, `${kib} passed the relay`);
  }
  const how = direct ? `direct (${b.link(a)}) after ${(took / 1000).toFixed(1)} s` : 'relayed';
  return `${how}; 2 × 1 MiB exact, ${kib} through the relay`;
}

const reach = (node) => node.run('status').reach;

/** An address of a node on the public segment has been confirmed, or found wanting. */
async function judged(node, state) {
  const [found, took] = await until(PATIENCE_MS, `${node.name} is judged ${state}`, () => {
    const now = reach(node);
    return now.state === state && now;
  });
  return `${state} after ${(took / 1000).toFixed(1)} s ${found.confirmed.join(' ')}`;
}

/** Two tabs meet: directly, or over the relay where theory says so. */
async function meetTabs(a, b, direct) {
  await a.call('exchange', b.id, 1000);
  const begun = Date.now();
  const up = async () => (await a.link(b)) === 'WebRtc' && (await b.link(a)) === 'WebRtc';
  if (direct) {
    while (!(await up())) {
      check(Date.now() - begun < PUNCH_MS, `${a.name} and ${b.name} find no direct way`);
      await sleep(200);
    }
  } else {
    // A handshake's time and more.
    await sleep(25_000);
    check(!(await up()), `${a.name} and ${b.name} are connected directly, which theory excludes`);
    check((await a.link(b)) === 'Relayed', `${a.name} sees ${b.name} over ${await a.link(b)}`);
  }
  const took = Date.now() - begun;
  const ms = [await a.call('exchange', b.id, MIB), await b.call('exchange', a.id, MIB)];
  const how = direct ? `WebRTC after ${(took / 1000).toFixed(1)} s` : 'relayed';
  return `${how}; 2 × 1 MiB there and back, exact, in ${ms.map(Math.round).join(' and ')} ms`;
}

async function tabs(network, folder, relay, step) {
  const { buildAll } = await import('../interop/build.mjs');
  const { pages } = await buildAll();
  const server = await stun(network, 'relay');
  children.add(server.child);
  const at = `/ip4/${network.relay}/tcp/4002/ws/p2p/${relay.ready.peer_id}`;
  const open = {};
  try {
    for (const name of ['cone1', 'cone2', 'sym1', 'sym2']) {
      open[name] = await Tab.open(network, folder, name, pages);
      await open[name].start(at, server.url);
    }
    for (const tab of Object.values(open)) {
      const begun = Date.now();
      while (!(await tab.addresses()).some((a) => a.includes('/p2p-circuit'))) {
        check(Date.now() - begun < PATIENCE_MS, `${tab.name} gets no reservation`);
        await sleep(200);
      }
    }
    const { cone1, cone2, sym1, sym2 } = open;
    await step('tabs: cone and cone', () => meetTabs(cone1, cone2, true));
    await step('tabs: symmetric and symmetric', () => meetTabs(sym1, sym2, false));
    await step('tabs: cone and symmetric', () => meetTabs(cone1, sym1, false));
    await step('tabs: symmetric and cone', () => meetTabs(sym2, cone2, false));
  } finally {
    for (const tab of Object.values(open)) await tab.down();
    server.down();
  }
}

async function all(network, folder) {
  const hosts = {
    cone1: network.host('cone1', 'cone', 1),
    cone2: network.host('cone2', 'moved', 2),
    sym1: network.host('sym1', 'symmetric', 3),
    sym2: network.host('sym2', 'symmetric', 4),
    open: network.host('open', 'forwarded', 5),
  };
  const nodes = {};
  const failed = [];
  const step = async (what, work) => {
    try {
      const said = await work();
      console.log(`ok    ${what}: ${said}`);
    } catch (error) {
      failed.push(what);
      console.log(`FAIL  ${what}: ${error.message}`);
    }
  };
  try {
    const relay = (nodes.relay = new Node(network, folder, 'relay'));
    await relay.up();
    const at = `/ip4/${network.relay}/udp/4001/quic-v1/p2p/${relay.ready.peer_id}`;
    for (const name of Object.keys(hosts)) {
      nodes[name] = new Node(network, folder, name);
      await nodes[name].up('--relay', at);
    }
    const { cone1, cone2, sym1, sym2, open } = nodes;
    for (const node of [cone1, cone2, sym1, sym2]) {
      await step(`${node.name} knows where it is`, () => judged(node, 'nat'));
    }
    await step('open knows where it is', async () => {
      const text = await judged(open, 'public');
      check(text.includes(`/ip4/${hosts.open.outside}/`), `confirmed elsewhere: ${text}`);
      return text;
    });
    const circuit = (node) => node.run('status').addresses.some((a) => a.includes('p2p-circuit'));
    await step('who is not reachable announces a circuit', async () => {
      const hidden = [cone1, cone2, sym1, sym2];
      await until(PATIENCE_MS, 'each has one', () => hidden.every(circuit));
      return `${hidden.length} nodes`;
    });
    await step('cone and cone', () => meet(network, cone1, cone2, true));
    await step('symmetric and symmetric', () => meet(network, sym1, sym2, false));
    await step('cone and symmetric', () => meet(network, cone1, sym1, false));
    await step('symmetric and cone', () => meet(network, sym2, cone2, false));
    await step('forwarded and symmetric', () => meet(network, open, sym2, true));
    const hidden = [cone1, cone2, sym1, sym2, open];
    if (process.env.NAT_TABS !== '0') {
      // The same namespaces, now for browsers.
      await Promise.all(hidden.map((node) => node.down()));
      await step('tabs', async () => (await tabs(network, folder, relay, step), 'done'));
    }
  } finally {
    const told = Object.values(nodes).filter((node) => failed.length && node.said);
    for (const node of told) console.log(`--- ${node.name}\n${node.said.slice(-4000)}`);
    await Promise.all(Object.values(nodes).map((node) => node.down()));
  }
  return failed;
}

const reason = impossible();
if (reason) {
  console.error(`this machine makes no network namespaces with NAT: ${reason}`);
  process.exit(1);
}
const folder = mkdtempSync(join(tmpdir(), 'craftec-nat-'));
const network = new Network();
const remove = () => {
  for (const child of children) child.kill('SIGKILL');
  network.remove();
  rmSync(folder, { recursive: true, force: true });
};
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => (remove(), process.exit(1)));
let failed = ['the network itself'];
try {
  failed = await all(network, folder);
} finally {
  remove();
}
console.log(failed.length ? `failed: ${failed.join(', ')}` : 'all passed');
process.exit(failed.length ? 1 : 0);
