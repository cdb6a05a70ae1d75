// What an operator sees of three nodes in a browser. Prints a line for each promise; ends with 1 if one was broken.
//
//     node story.mjs MODULES NODES
//
// MODULES has playwright-core and axe-core; each line of the file NODES is `name host:port pid`. It kills two of them.
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [modules, nodesFile] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { chromium } = require(`${modules}/playwright-core`);
const axeSource = readFileSync(`${modules}/axe-core/axe.min.js`, 'utf8');
const shots = process.env.SHOTS;
mkdirSync(shots, { recursive: true });

const LIMIT_MS = 60_000;  // until something has happened that must: a sample each 10 s, an update each 5 s, a slow machine
const PHONE = { width: 360, height: 740 };
const DESKTOP = { width: 1280, height: 900 };

const nodes = readFileSync(nodesFile, 'utf8').trim().split('\n').map((line) => {
  const [name, address, pid] = line.split(' ');
  return { name, url: `http://${address}/`, pid: Number(pid) };
});
const [n1] = nodes;

let failed = 0;
const step = async (words, check) => {
  try {
    await check();
    console.log(`${'ok'.padEnd(7)} page     ${words}`);
  } catch (error) {
    failed += 1;
    console.log(`${'FAILED'.padEnd(7)} page     ${words}\n                 ${String(error).split('\n').slice(0, 6).join('\n                 ')}`);
  }
};
const assert = (holds, words) => { if (!holds) throw new Error(words); };

// What a page asks for and complains of, from its beginning.
const watched = async (options) => {
  const context = await browser.newContext({ viewport: DESKTOP, ...options });
  const page = await context.newPage();
  const seen = { requests: [], complaints: [] };
  page.on('request', (request) => seen.requests.push(request.url()));
  page.on('console', (message) => { if (message.type() === 'error') seen.complaints.push(message.text()); });
  page.on('pageerror', (error) => seen.complaints.push(String(error)));
  return { context, page, seen };
};

const until = (page, test, argument) => page.waitForFunction(test, argument, { timeout: LIMIT_MS, polling: 200 });
const nextUpdate = async (page) => {
  const before = await page.textContent('#at');
  await until(page, (before) => document.getElementById('at')?.textContent !== before, before);
};
const violations = async (page) => {
  await page.evaluate(axeSource);
  const found = await page.evaluate(() =>
    axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }));
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.target).join(', ')}`);
};
const isAccessible = async (page) => {
  const found = await violations(page);
  assert(found.length === 0, found.join('\n'));
};
const shot = (page, name) => page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
});
const { page, seen } = await watched({ colorScheme: 'light' });
let leader = '';

await step('it says how many are healthy, and who leads', async () => {
  await page.goto(n1.url);
  await page.evaluate(() => { window.isTheSameDocument = true; });
  await until(page, () => /3 of 3 healthy: one may be lost\. n\d leads\./.test(document.getElementById('health').textContent));
  leader = (await page.textContent('#health')).match(/(n\d) leads/)[1];
  const roles = await page.$$eval('#members tbody tr', (rows) => rows.map((row) => row.innerText));
  assert(roles.length === 3 && roles.filter((row) => row.includes('leader')).length === 1, roles.join('\n'));
  assert(roles.find((row) => row.includes('leader')).startsWith(leader), roles.join('\n'));
});

await step('charts and rates come by themselves, once something was measured', async () => {
  await until(page, () => document.querySelectorAll('#hour svg[role=img] path.line0').length === 4);
  await until(page, () => {
    const reads = document.querySelector('#namespace-sessions td[data-label="Reads a second"]')?.textContent;
    return Number(reads) > 0;
  });
  const label = await page.getAttribute('#chart-requests svg', 'aria-label');
  assert(/^Requests a second in the last hour: all [\d.]+ now/.test(label), label);
  assert(await page.evaluate(() => window.isTheSameDocument), 'the page was loaded again');
});

await step('focus, scrolling and what was unfolded stay when it is updated', async () => {
  await page.click('#hour summary');
  await page.setViewportSize({ width: 1280, height: 500 });
  await page.locator('#hour summary').focus();
  await page.evaluate(() => window.scrollTo(0, 321));
  await nextUpdate(page);
  const after = await page.evaluate(() => [
    document.activeElement.tagName, Math.round(window.scrollY), document.querySelector('#hour details').open,
  ]);
  assert(after.join() === 'SUMMARY,321,true', after.join());
  await page.setViewportSize(DESKTOP);
});

await step('a screen reader is told nothing while nothing happens', async () => {
  await page.evaluate(() => {
    window.told = 0;
    // Also where another element is put in its place.
    const isOfHealth = (node) => node.parentElement?.closest('#health') || node.id === 'health' || node.querySelector?.('#health');
    const observer = new MutationObserver((changes) => {
      window.told += changes.filter((change) =>
        [change.target, ...change.addedNodes].some((node) => node !== document.body && node.nodeName !== 'MAIN' && isOfHealth(node))).length;
    });
    observer.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  });
  await nextUpdate(page);
  await nextUpdate(page);
  assert(await page.evaluate(() => window.told) === 0, 'the sentence on health was touched');
  assert(await page.locator('[aria-live], [role=status], [role=alert], [role=log]').count() === 1, 'something else is read aloud');
});

await step('it asks nobody but its node, and nothing is refused it', async () => {
  const strange = seen.requests.filter((url) => !url.startsWith(n1.url) && !url.startsWith('data:'));
  assert(strange.length === 0 && seen.complaints.length === 0, [...strange, ...seen.complaints].join('\n'));
});

await step('light: nothing keeps people out (axe, WCAG 2 A and AA)', async () => {
  await isAccessible(page);
  await shot(page, 'light');
});

await step('dark: the same, on a dark ground', async () => {
  const dark = await watched({ colorScheme: 'dark', reducedMotion: 'reduce' });
  await dark.page.goto(n1.url);
  const ground = await dark.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert(ground.match(/\d+/g).slice(0, 3).every((part) => part < 60), ground);
  assert(await dark.page.evaluate(() => document.getAnimations().length) === 0, 'something moves');
  await isAccessible(dark.page);
  await shot(dark.page, 'dark');
  await dark.context.close();
});

await step('on a phone nothing is wider than the screen', async () => {
  const phone = await watched({ viewport: PHONE, isMobile: true, hasTouch: true, deviceScaleFactor: 2, colorScheme: 'light' });
  for (const path of ['', 'runbook']) {
    await phone.page.goto(n1.url + path);
    if (!path) await phone.page.click('#hour summary');
    const width = await phone.page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.body.scrollWidth));
    assert(width <= PHONE.width, `/${path} is ${width} px wide`);
    await isAccessible(phone.page);
    await shot(phone.page, `phone-${path || 'status'}`);
  }
  await phone.context.close();
});

await step('a name with markup stays text, and markup that came through would do nothing', async () => {
  const evil = await watched({});
  const text = '<img src=x onerror="window.isBroken = true">';
  const escaped = text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
  let asked = 0;
  await evil.page.route(n1.url, async (route) => {
    const answer = await route.fetch();
    const body = (await answer.text()).replaceAll(/\bn2\b(?=<| )/g, escaped);
    asked += 1;
    await route.fulfill({ response: answer, body: body.replace('<p>Told by', `<p>${text}Told by`) });
  });
  await evil.page.goto(n1.url);
  for (const round of ['loaded', 'updated']) {
    const names = await evil.page.$$eval('#members th[scope=row]', (names) => names.map((name) => name.textContent));
    assert(names.some((name) => name.includes(text)), `${round}: ${names.join()}`);
    assert(await evil.page.locator('#members img').count() === 0, `${round}: the name became an element`);
    assert(!await evil.page.evaluate(() => window.isBroken), `${round}: it ran`);
    if (round === 'loaded') await nextUpdate(evil.page);
  }
  assert(asked > 1, 'it was not updated');
  await evil.context.close();
});

await step('without scripts it is the same page, and is loaded again by itself', async () => {
  const plain = await watched({ javaScriptEnabled: false });
  await plain.page.goto(n1.url);
  assert((await plain.page.textContent('#health')).includes(`${leader} leads.`), await plain.page.textContent('#health'));
  await plain.page.waitForRequest((request) => request.isNavigationRequest(), { timeout: LIMIT_MS });
  await plain.context.close();
});

const follower = nodes.find((node) => node.name !== leader && node !== n1);

await step(`when ${follower.name} is killed, it says so without being loaded again`, async () => {
  process.kill(follower.pid, 'SIGKILL');
  await until(page, (name) => {
    const health = document.getElementById('health').textContent;
    return health.includes('2 of 3 healthy: one more loss stops writes.') && health.includes(`${name} does not answer.`);
  }, follower.name);
  assert(await page.evaluate(() => window.isTheSameDocument), 'the page was loaded again');
  const row = await page.locator('#members tr', { hasText: 'does not answer' }).innerText();
  assert(row.startsWith(follower.name), row);
  assert((await page.title()).startsWith('degraded - n1'), await page.title());
  await isAccessible(page);
  await shot(page, 'one-down');
});

await step('what is to be looked at leads to its page of the runbook', async () => {
  await page.click('text=Runbook: SessileOneLossStopsWrites');
  await page.waitForURL(`${n1.url}runbook#sessileonelossstopswrites`);
  assert(await page.locator('#sessileonelossstopswrites').isVisible(), 'there is no such page');
  await isAccessible(page);
  await page.screenshot({ path: `${shots}/runbook.png` });
  await page.goto(n1.url);
});

await step('when its own node is killed, it says that what stands there is old', async () => {
  process.kill(n1.pid, 'SIGKILL');
  await until(page, () => /^This node does not answer\. What stands here is of \d/.test(document.getElementById('health').textContent));
  assert((await page.title()).startsWith('no answer - n1'), await page.title());
  await isAccessible(page);
  await shot(page, 'own-node-down');
});

await browser.close();
process.exit(failed > 0 ? 1 : 0);
