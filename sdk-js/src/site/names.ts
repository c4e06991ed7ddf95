/** What the pieces of a site's origin agree on. */

/** Where our own files are, on a site's origin. */
export const OURS = '/.craftec/';
/** A request with it gets the content itself from the gateway, not the boot page. */
export const DIRECT_HEADER = 'X-Craftec-Direct';

/** Boot page → bridge. */
export interface ToBridge {
  t: 'want';
}

/** Bridge → boot page. `none`: no node runs in this browser. */
export type FromBridge =
  /** `again` gets a port to the next node when this one is gone: `Again` in `tab/names.ts`. */
  { t: 'node'; root: string; port: MessagePort; again?: MessagePort } | { t: 'none' };

/** Boot page → service worker; it answers `true` on the port that comes along. */
export type ToSite = Extract<FromBridge, { t: 'node' }> | { t: 'direct' };

const LABEL = /^n[a-z2-7]{52}$/;

/** Whether a host label may be a name's (`n` and 32 bytes in base32); its record decides. */
export function isNameLabel(label: string): boolean {
  return LABEL.test(label);
}

export interface SiteHost {
  label: string;
  /** Origin of the app beside it. */
  app: string;
}

/** Takes `http://<label>.<domain>:<port>` apart. */
export function siteHost(origin: string): SiteHost | undefined {
  let url;
  try {
    url = new URL(origin);
  } catch {
    return undefined;
  }
  const dot = url.host.indexOf('.');
  if (dot <= 0 || url.origin !== origin) return undefined;
  const app = `${url.protocol}//app.${url.host.slice(dot + 1)}`;
  return { label: url.host.slice(0, dot), app };
}
