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

/** A database with a few snapshots, and a result on the screen. */
async function herbarium(page: Page): Promise<void> {
  await goTo(page, 'Databases');
  await page.getByLabel('Open or make').fill('herbarium');
  await page.getByRole('button', { name: 'Open', exact: true }).click();
  const sql = page.getByRole('textbox', { name: 'SQL' });
  await sql.fill(
    `CREATE TABLE species (id INTEGER PRIMARY KEY, name TEXT, family TEXT);
     CREATE TABLE observation (species INTEGER, day TEXT, lat REAL);
     INSERT INTO species (name, family) VALUES ('Rosa canina', 'Rosaceae'),
       ('Corylus avellana', 'Betulaceae'), ('Hedera helix', 'Araliaceae'),
       ('Ilex aquifolium', 'Aquifoliaceae'), ('Taxus baccata', 'Taxaceae');
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
     INSERT INTO observation SELECT i * i % 5 + 1, date('2026-01-01', (i % 300) || ' days'),
       52.5 + i % 17 / 100.0 FROM n;`,
  );
  await sql.press('Control+Enter');
  await expect(page.getByText(/^Done in/)).toBeVisible();
  for (const [name, address] of [
    ['', /^craftobj:\/\/bafy/],
    ['plants', /\/plants$/],
  ] as const) {
    await page.getByLabel('Publish as').fill(name);
    await page.getByRole('button', { name: 'Take a snapshot' }).click();
    await expect(page.locator('#dbaddress')).toHaveText(address);
    await sql.fill("INSERT INTO observation VALUES (1, '2026-11-16', 52.53)");
    await sql.press('Control+Enter');
    await expect(page.getByText(/^1 row changed/)).toBeVisible();
  }
  await sql.fill(
    `SELECT s.name, s.family, count(*) AS seen,
       max(o.day) AS last_seen, round(avg(o.lat), 4) AS mean_lat
FROM   observation o JOIN species s ON s.id = o.species
WHERE  o.day >= '2026-03-01'
GROUP  BY s.id ORDER BY seen DESC`,
  );
  await sql.press('Control+Enter');
  await expect(page.getByRole('cell', { name: 'Rosa canina' })).toBeVisible();
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
  await herbarium(a.page);
  await bothSchemes(a.page, 'databases');
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
    '/databases?db=herbarium',
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
