// @ts-check
// Lighthouse over a list of pages. Reads one JSON object from stdin: chromium, flags and
// pages [{name, url, cookie: {name, value} | null, form}]; writes one line of JSON a page. Runs beside the
// folder node_modules into which the benchmark fetched Lighthouse.
import { text } from "node:stream/consumers";
import lighthouse, { desktopConfig } from "lighthouse";
import puppeteer from "puppeteer-core";

const TRIES = 3; // a trace is lost now and then
const job = JSON.parse(await text(process.stdin));

/** One page in a Chromium of its own. @param {any} wanted */
async function look({ name, url, cookie, form }) {
  const browser = await puppeteer.launch({ executablePath: job.chromium, args: job.flags });
  try {
    const page = await browser.newPage();
    if (cookie) await page.setCookie({ ...cookie, url });
    // The error page is a page too: its status is no reason not to look at it.
    const flags = { onlyCategories: ["performance", "accessibility"], ignoreStatusCode: true };
    const found = await lighthouse(url, flags, form === "desktop" ? desktopConfig : undefined, page);
    const { categories, audits, runtimeError, finalDisplayedUrl } = found?.lhr ?? {};
    if (!categories || !audits || runtimeError) throw new Error(runtimeError?.message ?? "no result");
    /** @param {string} id */
    const score = (id) => Math.round(100 * (categories[id].score ?? 0));
    const costs = Object.values(categories)
      .flatMap(({ auditRefs }) => auditRefs)
      .filter(({ id, weight }) => weight > 0 && (audits[id].score ?? 1) < 0.95)
      .map(({ id }) => `${id} ${audits[id].displayValue ?? ""}`.trim());
    const [performance, accessibility] = [score("performance"), score("accessibility")];
    return { name, form, landed: finalDisplayedUrl, performance, accessibility, costs };
  } finally {
    await browser.close();
  }
}

for (const page of job.pages) {
  for (let left = TRIES - 1; ; left--) {
    try {
      console.log(JSON.stringify(await look(page)));
      break;
    } catch (error) {
      if (!left) throw error;
    }
  }
}
