// The app, driven as a person does: by role and label.
import path from 'node:path';
import { expect, type Page } from '@playwright/test';

/** Goes to one of the places of the rail. */
export async function goTo(page: Page, place: string): Promise<void> {
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: place }).click();
}

/** Chooses `folder` for publishing; the review is open afterwards. */
export async function chooseFolder(page: Page, folder: string): Promise<void> {
  await goTo(page, 'Home');
  await page.getByLabel('Choose a folder').setInputFiles(folder);
  const title = `Publish ${path.basename(folder)}?`;
  await expect(page.getByRole('heading', { name: title })).toBeVisible();
}

/** Publishes a folder from disk; answers the link once it works. */
export async function publishFolder(
  page: Page,
  folder: string,
  timeout = 30_000,
): Promise<{ cid: string; url: string }> {
  await chooseFolder(page, folder);
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  const link = page.getByRole('textbox', { name: 'Link', exact: true });
  await expect(link).toBeVisible({ timeout });
  const url = await link.inputValue();
  return { cid: new URL(url).host.split('.')[0]!, url };
}

/** Opens a site by what a person pastes; answers the tab in which it is read. */
export async function openSite(page: Page, link: string): Promise<Page> {
  await goTo(page, 'Open');
  await page.getByLabel('Link, CID or name').fill(link);
  await page.getByRole('button', { name: 'Open', exact: true }).click();
  const popup = page.context().waitForEvent('page');
  await page.getByRole('link', { name: 'Open in a new tab' }).click();
  const site = await popup;
  // The first visit gets a page that installs the site's service worker and then makes way for the
  // page itself.
  const arrived = () =>
    navigator.serviceWorker.controller !== null &&
    document.querySelector('script[src="/.craftec/boot.js"]') === null;
  await expect.poll(() => site.evaluate(arrived).catch(() => false)).toBe(true);
  await site.waitForLoadState('load');
  return site;
}
