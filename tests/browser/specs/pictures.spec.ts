// The pictures in docs/, taken from the running app; and that no screen is wider than its window.
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, type Page } from '@playwright/test';
import { goTo, openSite, publishFolder } from '../support/app.ts';
import { test } from '../support/fixtures.ts';
import { hasPeer, put, signed } from '../support/node.ts';

const DOCS = path.resolve(import.meta.dirname, '../../../docs');

async function garden(): Promise<string> {
  const folder = path.join(await mkdtemp(path.join(tmpdir(), 'site-')), 'herbarium');
  await mkdir(folder);
  await writeFile(
    path.join(folder, 'index.html'),
    '<!doctype html><title>Herbarium</title><h1>Herbarium</h1>',
  );
  for (let sheet = 1; sheet <= 40; sheet++) {
    await writeFile(
      path.join(folder, `sheet-${sheet}.svg`),
      `<svg><!--${sheet.toString().repeat(9_000)}--></svg>`,
    );
  }
  return folder;
}

async function bothSchemes(page: Page, name: string): Promise<void> {
  await page.evaluate(() => scrollTo(0, 0));
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: path.join(DOCS, `${name}-${colorScheme}.png`), fullPage: true });
  }
  await page.emulateMedia({ colorScheme: 'light' });
}

async function fitsWidth(page: Page, width: number): Promise<void> {
  await page.setViewportSize({ width, height: 800 });
  const wide = await page.evaluate(() => {
    const { clientWidth, scrollWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return [];
    const elements = [...document.querySelectorAll('body *')];
    const over = elements.filter((e) => e.getBoundingClientRect().right > clientWidth + 0.5);
    return over.slice(0, 6).map((e) => e.outerHTML.slice(0, 160));
  });
  expect(wide, `${page.url()} at ${width} px is wider than its window`).toEqual([]);
}

test('home, publish and network, light and dark', async ({ openTab }) => {
  const a = await openTab();
  await hasPeer(a.page, (p) => p.role === 'relay');
  await put(a.page, 1_500_000, 11);
  const site = await publishFolder(a.page, await garden());
  await signed(a.page, site.cid, 1);
  const b = await openTab();
  const read = await openSite(b.page, site.cid);
  await expect(read.getByRole('heading', { name: 'Herbarium' })).toBeVisible();
  await hasPeer(a.page, (p) => p.link === 'webrtc');
  await bothSchemes(a.page, 'publish');
  await goTo(a.page, 'Network');
  await expect(a.page.getByRole('row').filter({ hasText: /WebRTC/ })).toHaveCount(1);
  await bothSchemes(a.page, 'network');
  await goTo(a.page, 'Home');
  await expect(a.page.getByRole('heading', { level: 1 }).first()).toBeVisible();
  await bothSchemes(a.page, 'home');
  for (const place of [
    '/',
    '/sites',
    '/files',
    '/open',
    '/network',
    '/settings',
    `/sites/${site.cid}`,
  ]) {
    await a.page.setViewportSize({ width: 1280, height: 900 });
    await a.page.goto(new URL(place, a.page.url()).href);
    await expect(a.page.getByRole('heading').first()).toBeVisible();
    for (const width of [320, 360, 820, 1280]) await fitsWidth(a.page, width);
  }
});

test('the keyboard alone reaches the places and the skip link comes first', async ({ openTab }) => {
  const { page } = await openTab();
  await expect(page.getByRole('heading', { level: 1 }).first()).toBeVisible();
  await page.keyboard.press('Tab');
  await expect(page.locator(':focus')).toHaveText(/Skip/);
  const seen: string[] = [];
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press('Tab');
    seen.push(await page.locator(':focus').innerText());
  }
  for (const place of ['Home', 'Sites', 'Files', 'Open', 'Network']) {
    expect(
      seen.some((text) => text.includes(place)),
      `${place} among ${seen.join(' | ')}`,
    ).toBe(true);
  }
});
