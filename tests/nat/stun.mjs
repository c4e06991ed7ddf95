// The least STUN server (RFC 8489): answers a binding request with the address that it came from. For
// the tabs of this test alone; run as `node stun.mjs ADDRESS PORT`.

import { createSocket } from 'node:dgram';

const [address, port] = process.argv.slice(2);
const COOKIE = 0x2112a442;
const BINDING_REQUEST = 0x0001;
const BINDING_SUCCESS = 0x0101;
const XOR_MAPPED_ADDRESS = 0x0020;
const HEADER_BYTES = 20;

const socket = createSocket('udp4');
socket.on('message', (message, from) => {
  const whole = message.length >= HEADER_BYTES && message.readUInt32BE(4) === COOKIE;
  if (!whole || message.readUInt16BE(0) !== BINDING_REQUEST) return;
  const answer = Buffer.alloc(HEADER_BYTES + 12);
  answer.writeUInt16BE(BINDING_SUCCESS, 0);
  answer.writeUInt16BE(12, 2);
  message.copy(answer, 4, 4, HEADER_BYTES);
  answer.writeUInt16BE(XOR_MAPPED_ADDRESS, 20);
  answer.writeUInt16BE(8, 22);
  answer.writeUInt8(0x01, 25);
  answer.writeUInt16BE(from.port ^ (COOKIE >>> 16), 26);
  const ip = from.address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  answer.writeUInt32BE((ip ^ COOKIE) >>> 0, 28);
  socket.send(answer, from.port, from.address);
});
socket.bind(Number(port), address, () => console.log('ready'));
