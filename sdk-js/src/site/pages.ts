/** Pages and headers that the service worker of a site makes itself. */

import { siteHost } from './names.js';

/**
 * On every answer, the same as the gateway's: a site is alone with itself, framed by itself and the
 * app only, keyed to its origin, without passkeys and devices.
 */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    `frame-ancestors 'self' ${siteHost(location.origin)?.app ?? ''}`.trim(),
  'cross-origin-resource-policy': 'same-site',
  'origin-agent-cluster': '?1',
  'permissions-policy': [
    ...['publickey-credentials-get', 'publickey-credentials-create', 'identity-credentials-get'],
    ...['otp-credentials', 'payment', 'usb', 'serial', 'hid', 'bluetooth', 'midi', 'local-fonts'],
    ...['idle-detection', 'display-capture'],
  ]
    .map((feature) => `${feature}=()`)
    .join(', '),
  'referrer-policy': 'strict-origin-when-cross-origin',
  'x-content-type-options': 'nosniff',
};

const FRAMED_BY = SECURITY_HEADERS['content-security-policy'] ?? '';
const PAGE_POLICY = `default-src 'none'; style-src 'unsafe-inline'; ${FRAMED_BY}`;

function escape(text: string): string {
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
  };
  return text.replace(/[&<>"]/g, (letter) => entities[letter] ?? letter);
}

/** A short page about a failure. */
export function errorPage(status: number, title: string, text: string): Response {
  const html = `<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>${escape(title)}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;margin:0;display:grid;min-height:100vh;
place-items:center;text-align:center}
main{max-width:36rem;padding:1rem;overflow-wrap:anywhere}</style>
<main><h1>${escape(title)}</h1><p>${escape(text)}</p></main></html>`;
  const headers = {
    ...SECURITY_HEADERS,
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': PAGE_POLICY,
    'cache-control': 'no-store',
  };
  return new Response(html, { status, headers });
}

export function notFoundPage(pathname: string): Response {
  return errorPage(404, 'Not found', `This site has nothing at ${pathname}.`);
}

export function gonePage(): Response {
  const text = 'No node runs in this browser, and the server that was asked instead is away.';
  return errorPage(503, 'This site can’t be reached now', text);
}
