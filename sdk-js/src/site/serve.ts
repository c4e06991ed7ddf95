/**
 * Answers one request for a site's content from a node, as the gateway would: index files,
 * redirects to folders, `404.html`, byte ranges. The node verifies every block; this decides
 * headers and status alone.
 */

import { Reader, type Runner } from '../client/reader.js';
import { ConnectionLost, CraftecError } from '../errors.js';
import type { Range } from '../types.js';
import { errorPage, notFoundPage, SECURITY_HEADERS } from './pages.js';

/** A site as the service worker holds it. */
export interface Site {
  root: string;
  session: Runner;
}

/** The part of a request that matters. */
export interface Asked {
  url: URL;
  method: 'GET' | 'HEAD';
  range: string | null;
}

/**
 * Throws {@link ConnectionLost} when the node went away for good before there was anything to
 * answer.
 */
export async function serve(site: Site, asked: Asked, signal?: AbortSignal): Promise<Response> {
  const path = pathOf(asked.url.pathname);
  if (path === undefined) {
    return errorPage(400, 'This address can’t be read', 'Its path is not valid.');
  }
  try {
    return await found(site, asked, path, signal);
  } catch (error) {
    if (error instanceof ConnectionLost) throw error;
    if (error instanceof CraftecError && error.code === 'not_found') {
      return missing(site, asked, signal);
    }
    return failed(CraftecError.from(error));
  }
}

async function found(
  site: Site,
  asked: Asked,
  path: string,
  signal?: AbortSignal,
): Promise<Response> {
  let reader = await open(site, path, undefined, signal);
  const { opened } = reader;
  const isFolder = opened.kind === 'folder' || opened.path !== path;
  if (isFolder && path !== '' && !asked.url.pathname.endsWith('/')) {
    reader.close();
    return redirect(`${asked.url.pathname}/${asked.url.search}`);
  }
  if (opened.kind === 'folder' || (!isFolder && asked.url.pathname.endsWith('/'))) {
    reader.close();
    return missing(site, asked, signal);
  }
  const headers = headersOf(opened.mime, opened.cid);
  const range = parseRange(asked.range, opened.size);
  if (range === 'unsatisfiable') {
    reader.close();
    headers.set('content-range', `bytes */${opened.size}`);
    return new Response(null, { status: 416, headers });
  }
  headers.set('content-length', String(range ? range.end - range.start : opened.size));
  if (range) headers.set('content-range', `bytes ${range.start}-${range.end - 1}/${opened.size}`);
  const status = range ? 206 : 200;
  if (asked.method === 'HEAD' || opened.size === 0) {
    reader.close();
    return new Response(null, { status, headers });
  }
  if (range) {
    reader.close();
    reader = await open(site, path, range, signal);
  }
  return new Response(reader.stream(), { status, headers });
}

/** The site's own `404.html`, else a page of ours. */
async function missing(site: Site, asked: Asked, signal?: AbortSignal): Promise<Response> {
  try {
    const reader = await open(site, '404.html', undefined, signal);
    const { mime, cid, size, kind } = reader.opened;
    if (kind === 'file') {
      const headers = headersOf(mime, cid);
      // Its tag and its ranges belong to another address.
      headers.delete('etag');
      headers.delete('accept-ranges');
      headers.set('content-length', String(size));
      if (asked.method === 'GET' && size > 0) {
        return new Response(reader.stream(), { status: 404, headers });
      }
      reader.close();
      return new Response(null, { status: 404, headers });
    }
    reader.close();
  } catch (error) {
    if (error instanceof ConnectionLost) throw error;
    // No such file, or not to be had now: our own page says enough.
  }
  return notFoundPage(asked.url.pathname);
}

function open(site: Site, path: string, range?: Range, signal?: AbortSignal): Promise<Reader> {
  return Reader.open(site.session, { cid: site.root, path }, range, signal);
}

/** The path of a URL as names below the root; `undefined` when it is not one. */
export function pathOf(pathname: string): string | undefined {
  const names: string[] = [];
  for (const part of pathname.replace(/^\//, '').replace(/\/$/, '').split('/')) {
    let name;
    try {
      name = decodeURIComponent(part);
    } catch {
      return undefined;
    }
    if (name === '.' || name === '..' || /[/\0]/.test(name)) return undefined;
    names.push(name);
  }
  if (names.length === 1 && names[0] === '') return '';
  return names.includes('') ? undefined : names.join('/');
}

/** One range of bytes as RFC 9110 has it; more than one is answered with the whole. */
export function parseRange(
  header: string | null,
  size: number,
): { start: number; end: number } | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  if (!match) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const suffix = Math.min(Number(last), size);
    return suffix === 0 ? 'unsatisfiable' : { start: size - suffix, end: size };
  }
  const start = Number(first);
  if (last !== '' && Number(last) < start) return undefined;
  if (start >= size) return 'unsatisfiable';
  return { start, end: last === '' ? size : Math.min(Number(last) + 1, size) };
}

function headersOf(mime: string, cid: string): Headers {
  const headers = new Headers(SECURITY_HEADERS);
  headers.set('content-type', mime);
  headers.set('accept-ranges', 'bytes');
  headers.set('etag', `"${cid}"`);
  headers.set('x-craftec-source', 'node');
  return headers;
}

function redirect(location: string): Response {
  // A path like `//host` would leave the origin.
  const target = location.replace(/^\/+/, '/');
  return new Response(null, { status: 302, headers: { ...SECURITY_HEADERS, location: target } });
}

function failed(error: CraftecError): Response {
  if (error.code === 'bad_input')
    return errorPage(400, 'This address can’t be read', error.message);
  const hint = error.hint ? `${error.message} ${error.hint}` : error.message;
  if (error.code === 'unavailable') {
    return errorPage(504, 'Nobody who has this page was reached', hint);
  }
  return errorPage(502, 'This page could not be read', hint);
}
