/** For a page that should open again while its server is away. */

/** Registers the service worker of the app shell and gives it what this page has loaded. */
export async function registerApp(url: string | URL = '/app-sw.js'): Promise<void> {
  if (!('serviceWorker' in navigator)) return;
  await navigator.serviceWorker.register(url, { scope: '/', updateViaCache: 'none' });
  const { active } = await navigator.serviceWorker.ready;
  const loaded = performance.getEntriesByType('resource').map(({ name }) => name);
  active?.postMessage({ t: 'keep', urls: [location.origin + '/', ...loaded] });
}
