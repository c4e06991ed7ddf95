// Requests as no browser would send them: to any host name, with any path.
import http from 'node:http';
import type { Relay } from './relay.ts';

export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
}

export function request(relay: Relay, host: string, target: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: relay.http, path: target, headers: { host } };
    const asked = http.get(options, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('end', () => {
        const text = Buffer.concat(parts).toString();
        resolve({ status: answer.statusCode!, headers: answer.headers, text });
      });
    });
    asked.on('error', reject);
  });
}
